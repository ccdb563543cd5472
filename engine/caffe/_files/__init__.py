"""Files that Caffe reads and writes: prototxts and their old forms, BlobProtos, HDF5; bounded reads, whole-file writes."""
