"""`import caffe` gives every name of pycaffe, and loads nothing heavy before it is needed."""

import subprocess
import sys

import caffe
import pytest
from caffe import CaffeError, Timer

PYCAFFE = """
    Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver NCCL Timer init_log log
    set_mode_cpu set_mode_gpu set_device Layer get_solver layer_type_list set_random_seed solver_count set_solver_count
    solver_rank set_solver_rank set_multiprocess has_nccl __version__ TRAIN TEST Classifier Detector io layers params
    NetSpec to_proto proto net_spec classifier detector coord_map pycaffe
""".split()
IO = """
    blobproto_to_array array_to_blobproto arraylist_to_blobprotovector_str blobprotovector_str_to_arraylist
    array_to_datum datum_to_array Transformer load_image resize_image oversample
""".split()


@pytest.mark.parametrize("name", PYCAFFE)
def test_name(name):
    assert getattr(caffe, name) is not None


@pytest.mark.parametrize("name", ["Net", "SGDSolver", "AdamSolver", "NCCL", "Timer"])
def test_names_where_real_caffe_makes_them(name):
    import caffe._caffe
    import caffe.pycaffe

    assert getattr(caffe.pycaffe, name) is getattr(caffe._caffe, name) is getattr(caffe, name)


def test_classes_that_only_the_compiled_half_names():
    from caffe._caffe import Blob, Layer, Solver

    assert issubclass(caffe.SGDSolver, Solver) and Layer is caffe.Layer
    assert caffe._caffe.Solver is Solver, "import caffe is enough"
    spec = caffe.NetSpec()
    spec.x = caffe.layers.Input(shape={"dim": [2, 3]})
    spec.y = caffe.layers.InnerProduct(spec.x, num_output=2)
    net = caffe.Net(spec.to_proto())
    assert isinstance(net.blobs["x"], Blob) and type(net.params["y"]) is caffe._caffe.BlobVec


def test_io_names_and_version():
    assert [name for name in IO if not hasattr(caffe.io, name)] == []
    assert caffe.__version__ == "1.0.0"
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)
    with pytest.raises(AttributeError, match="no attribute 'nett'"):
        caffe.nett  # noqa: B018
    assert set(dir(caffe)) >= set(PYCAFFE) - {"__version__"}


@pytest.mark.parametrize("statement", ["import caffe", "from caffe.proto import caffe_pb2", "caffe.NetSpec()"])
def test_pytorch_is_not_loaded_for(statement):
    code = f"import sys, caffe; {statement}; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


class TestSeveralSolvers:
    def test_counts_are_kept(self):
        assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
        try:
            caffe.set_solver_count(3)
            caffe.set_solver_rank(2)
            caffe.set_multiprocess(True)
            assert (caffe.solver_count(), caffe.solver_rank()) == (3, 2)
        finally:
            caffe.set_solver_count(1)
            caffe.set_solver_rank(0)
        for refused in (lambda: caffe.set_solver_count(0), lambda: caffe.set_solver_rank(-1)):
            with pytest.raises(CaffeError, match="or more"):
                refused()

    def test_no_nccl(self):
        assert caffe.has_nccl() is False
        with pytest.raises(CaffeError, match="no NCCL"):
            caffe.NCCL(None, "uid")
        with pytest.raises(CaffeError, match="no NCCL"):
            caffe.NCCL.new_uid()


class TestTimer:
    @pytest.fixture
    def clock(self, monkeypatch):
        import caffe._device.timer

        now = [10.0]
        monkeypatch.setattr(caffe._device.timer, "_now", lambda: now[0])
        return now

    def test_between_start_and_stop(self, clock):
        timer = Timer()
        assert timer.ms == 0
        timer.start()
        clock[0] += 0.25
        timer.start()  # runs already
        clock[0] += 0.25
        timer.stop()
        clock[0] += 5
        timer.stop()
        assert timer.ms == 500

    def test_reading_stops_it(self, clock):
        timer = Timer()
        timer.start()
        clock[0] += 2
        assert timer.ms == 2000
        clock[0] += 2
        assert timer.ms == 2000
