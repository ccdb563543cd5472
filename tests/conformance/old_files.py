"""Nets and solvers in every form that Caffe has had, for the upgrade commands."""

NETS = {
    "v0": """
name: "CaffeNet of 2013"
input: "other" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5
force_backward: true
layers { layer { name: "data" type: "data" source: "lmdb" meanfile: "mean" batchsize: 7 cropsize: 6 mirror:
  true scale: 0.5 rand_skip: 3 } top: "data" top: "label" }
layers { layer { name: "images" type: "images" source: "list" batchsize: 5 new_height: 8 new_width: 9
  shuffle_images: true rand_skip: 2 } top: "images" top: "l2" }
layers { layer { name: "windows" type: "window_data" source: "win" batchsize: 4 det_fg_threshold: 0.6
  det_bg_threshold: 0.3 det_fg_fraction: 0.2 det_context_pad: 16 det_crop_mode: "square" cropsize: 5 } top:
  "windows" top: "l3" }
layers { layer { name: "h5" type: "hdf5_data" source: "h5" batchsize: 3 } top: "h5" top: "l4" }
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 6 group: 2 kernelsize: 5 stride: 3 biasterm: true
  weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0.1 }
  blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. } bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "conv1" top: "pad2" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "pad2" top: "pool1" }
layers { layer { name: "pool2" type: "pool" pool: STOCHASTIC kernelsize: 2 pad: 1 } bottom: "pool1" top: "pool2" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.001 beta: 0.7 k: 2 } bottom: "pool2" top: "norm1" }
layers { layer { name: "cat" type: "concat" concat_dim: 0 } bottom: "norm1" bottom: "norm1" top: "cat" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "cat" top: "cat" }
layers { layer { name: "ip" type: "innerproduct" num_output: 4 biasterm: false weight_filler { type: "xavier" }
  blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } new_num: 3 } bottom: "cat" top: "ip" }
layers { layer { name: "gain" type: "infogain_loss" source: "H" } bottom: "ip" bottom: "label" top: "gain" }
layers { layer { name: "out" type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "ip" bottom: "label" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
layers { layer { name: "acc" type: "accuracy" } bottom: "ip" bottom: "label" top: "acc" }
""",
    "v0_unknown_parameters": """
layers { layer { name: "r" type: "relu" num_output: 3 kernelsize: 5 source: "x" hdf5_output_param { file_name:
  "f" } } }
layers { layer { name: "p" type: "pool" pool: MAX dropout_ratio: 0.1 local_size: 3 } bottom: "a" top: "b" }
input: "a"
""",
    "v1": """
name: "v1"
input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 input_dim: 6 input_dim: 7
input_dim: 8
state { level: 3 stage: "s" } debug_info: true
layers { name: "d" type: DATA top: "d" data_param { source: "x" batch_size: 5 scale: 0.5 crop_size: 3 }
  include { phase: TRAIN } }
layers { name: "i" type: IMAGE_DATA top: "i" image_data_param { source: "x" mirror: true mean_file: "m" } }
layers { name: "w" type: WINDOW_DATA top: "w" transform_param { scale: 3 } window_data_param { source: "x" } }
layers { name: "c" type: CONVOLUTION bottom: "a" top: "c" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  param: "shared" blob_share_mode: PERMISSIVE blob_share_mode: STRICT blob_share_mode: STRICT
  convolution_param { num_output: 3 kernel_size: 2 } }
layers { name: "e" type: ELTWISE bottom: "c" bottom: "c" top: "e" eltwise_param { operation: MAX } loss_weight: 0.5
  exclude { stage: "x" } param: "" }
layers { name: "s" type: SIGMOID_CROSS_ENTROPY_LOSS bottom: "e" bottom: "b" top: "s" loss_param { ignore_label: 1 }
  blobs { num: 1 channels: 1 height: 1 width: 2 data: 0.1 data: 2 } }
""",
    "v1_types": "\n".join(
        f'layers {{ name: "{kind}" type: {kind} }}'
        for kind in (
            "ABSVAL ACCURACY ARGMAX BNLL CONCAT CONTRASTIVE_LOSS CONVOLUTION DECONVOLUTION DATA DROPOUT DUMMY_DATA "
            "EUCLIDEAN_LOSS ELTWISE EXP FLATTEN HDF5_DATA HDF5_OUTPUT HINGE_LOSS IM2COL IMAGE_DATA INFOGAIN_LOSS "
            "INNER_PRODUCT LRN MEMORY_DATA MULTINOMIAL_LOGISTIC_LOSS MVN POOLING POWER RELU SIGMOID "
            "SIGMOID_CROSS_ENTROPY_LOSS SILENCE SOFTMAX SOFTMAX_LOSS SPLIT SLICE TANH WINDOW_DATA THRESHOLD"
        ).split()
    ),
    "inputs": """
input: "a" input: "b" input_shape { dim: 1 dim: 2 } input_shape { dim: 3 }
layer { name: "d" type: "Data" top: "d" data_param { source: "x" crop_size: 3 } }
""",
    "input_without_shape": 'input: "a" layer { name: "r" type: "ReLU" bottom: "a" top: "a" }',
    "input_twice": 'input: "a" input_shape { dim: 7 } input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4',
    "batch_norm": """
layer { name: "old" type: "BatchNorm" param { lr_mult: 2 } param { name: "n" decay_mult: 3 } param { } }
layer { name: "new" type: "BatchNorm" param { lr_mult: 0 } }
""",
    "today": 'name: "today" layer { name: "r" type: "ReLU" bottom: "a" top: "b" relu_param { negative_slope: 0.1 } }',
}
SOLVERS = {
    **{
        f"solver_{old}": f'net: "x" base_lr: 0.01 solver_type: {old} momentum: 0.9'
        for old in ("SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM")
    },
    "solver_of_today": 'net: "x" type: "Adam" lr_policy: "inv" gamma: 0.1 stepvalue: 3 stepvalue: 4',
}
