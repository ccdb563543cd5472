"""A test takes each image of val once: the test_iter that Caffe gets, for val sets of any size."""

import json
from pathlib import Path

import lmdb
import pytest

from tests.training.tiny_run import edit
from training import fit_test_iter, run
from training.solver_file import REHEARSAL, parse_solver

PATH = Path("solvers/tiny.prototxt")
NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "data/lmdb/train_lmdb" batch_size: 3 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "data/lmdb/val_lmdb" batch_size: 5 backend: LMDB } }
"""
TESTS = "test_iter: 100  # x batch 5 = 500\ntest_interval: 10\n"


def records(folder: str, count: int) -> None:
    for path in Path(folder).glob("*.mdb"):
        path.unlink()
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    with lmdb.open(folder) as environment, environment.begin(write=True) as transaction:
        for number in range(count):
            transaction.put(b"%d" % number, b"x")


@pytest.fixture
def tests(place):
    """The working folder with a net that tests on 35 images in batches of 5."""
    Path("models/tiny/train_val.prototxt").write_text(NET)
    records("data/lmdb/val_lmdb", 35)
    edit("max_iter: 100000", f"max_iter: 20\n{TESTS}")
    return place


def fitted(text: str | None = None) -> tuple[list[int], list[str]]:
    text, lines = fit_test_iter.fitted(text or PATH.read_text(), PATH)
    return list(parse_solver(text, PATH).test_iter), lines


@pytest.mark.parametrize(
    ("images", "test_iter", "line"),
    [
        (35, 7, "test_iter 100 -> 7 for this run: val has 35 images, and 7 x batch 5 test each once"),
        (5, 1, "test_iter 100 -> 1 for this run: val has 5 images, and 1 x batch 5 tests each once"),
        (1000, 200, "test_iter 100 -> 200 for this run: val has 1,000 images, and 200 x batch 5 test each once"),
        (38, 7, "test_iter 100 -> 7 for this run: val has 38 images, and 7 x batch 5 test 35 of them once"),
    ],
)
def test_a_val_set_of_another_size(tests, images, test_iter, line):
    records("data/lmdb/val_lmdb", images)
    found, lines = fitted()
    assert found == [test_iter] and lines[0] == line


def test_every_other_byte_of_the_solver_stays(tests):
    text = PATH.read_text().replace("base_lr", '# test_iter: 3\ntype: "SGD" base_lr')
    assert fit_test_iter.fitted(text, PATH)[0] == text.replace("test_iter: 100", "test_iter: 7")


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (38, "a test leaves out 3 of the 38 images of val; the next test begins with them: batch_size 5 does not "
             "divide 38"),
        (3, "a test takes some of the 3 images of val more than once: batch_size 5 does not divide 3"),
    ],
)  # fmt: skip
def test_what_whole_batches_cannot_do_is_said(tests, images, line):
    records("data/lmdb/val_lmdb", images)
    assert fitted()[1][1:] == [line]
    fits = PATH.read_text().replace("test_iter: 100", f"test_iter: {max(1, images // 5)}")
    assert fitted(fits)[1] == [line], "also where test_iter fits as well as it can"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("test_iter: 100", "test_iter: 7"),
        ("test_interval: 10", "test_interval: 0"),
        ("test_iter: 100", ""),
    ],
)
def test_nothing_to_fit(tests, old, new):
    text = PATH.read_text().replace(old, new)
    assert fit_test_iter.fitted(text, PATH) == (text, [])


def test_a_layer_of_both_phases_is_no_val_set(tests):
    net = NET.split("layer")[1].replace("include { phase: TRAIN }", "").replace("train_lmdb", "val_lmdb")
    Path("models/tiny/train_val.prototxt").write_text(f"layer{net}")
    assert fitted() == ([100], [])


def test_sources_that_cannot_be_counted_are_left(tests):
    Path("models/tiny/train_val.prototxt").write_text(NET.replace("data/lmdb/val_lmdb", "data/lmdb/none"))
    assert fitted() == ([100], [])


def test_a_list_of_images_and_the_v1_format(tests):
    Path("list.txt").write_text("a.jpg 0\n" * 22)
    Path("models/tiny/train_val.prototxt").write_text(
        'layers { name: "d" type: IMAGE_DATA top: "d" top: "l" include { phase: TEST } '
        'image_data_param { source: "list.txt" batch_size: 2 } }'
    )
    assert fitted()[0] == [11]


def test_several_test_nets_each_with_its_stage(tests):
    """The second net tests 24 images in batches of 4; the first keeps 35 in batches of 5."""
    records("data/lmdb/holdout_lmdb", 24)
    first, second = 'include { phase: TEST not_stage: "held" }', 'include { phase: TEST stage: "held" }'
    layer = NET.split("layer")[2].replace("include { phase: TEST }", second).replace("val_lmdb", "holdout_lmdb")
    Path("models/tiny/train_val.prototxt").write_text(
        NET.replace("include { phase: TEST }", first) + "layer" + layer.replace("batch_size: 5", "batch_size: 4")
    )
    text = PATH.read_text() + 'test_iter: 50\ntest_state {}\ntest_state { stage: "held" }\n'
    found, lines = fitted(text)
    assert found == [7, 6]
    assert lines[1] == "test_iter 50 -> 6 for this run: test net #1 has 24 images, and 6 x batch 4 test each once"


def test_a_rehearsal_tests_on_less_and_never_on_more(tests):
    text = f"{REHEARSAL}0.03.\n{PATH.read_text()}"
    assert fitted(text.replace("test_iter: 100", "test_iter: 3")) == ([3], [])
    assert fitted(text)[0] == [7]


@pytest.mark.parametrize("begin", ["", f"{REHEARSAL}0.5.\n"])
@pytest.mark.parametrize(
    ("written", "test_iter"),
    [("[100]", [7]), ("\n 100", [7]), ("[100, 50] test_state {} test_state {}", [7, 7])],
)
def test_a_test_iter_in_another_notation(tests, begin, written, test_iter):
    before = begin + PATH.read_text().replace("test_iter: 100", f"test_iter: {written}")
    after, _ = fit_test_iter.fitted(before, PATH)
    wanted = parse_solver(before, PATH)
    wanted.test_iter[:] = test_iter
    assert parse_solver(after, PATH) == wanted and after.startswith(begin)


def entries() -> list[dict]:
    return [json.loads(line) for line in Path("runs/tiny/journal.jsonl").read_text().splitlines()]


def test_caffe_reads_a_copy_and_the_journal_records_it(tests, capfd):
    written = PATH.read_text()
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0
    assert "training.run: note: test_iter 100 -> 7 for this run: val has 35 images" in capfd.readouterr().err
    copy = Path("runs/tiny/solver.prototxt")
    begun = entries()[0]
    assert begun["command"][2] == f"--solver={copy}" and begun["solver_file"] == str(PATH)
    assert begun["solver"] == written.replace("test_iter: 100", "test_iter: 7")
    assert copy.read_text() == (
        f"# Made by training.run at each start of a training. Edit {PATH}, not this.\n{begun['solver']}"
    )
    assert PATH.read_text() == written

    edit("max_iter: 20", "max_iter: 30")
    assert run.main(["resume", "tiny", "--caffe", "./caffe"]) == 0
    said = capfd.readouterr().err
    assert "edited: max_iter: 20 -> 30" in said and "edited: test_iter" not in said, "it was 7 before, too"
    assert run.main(["journal", "tiny"]) == 0
    told = capfd.readouterr().out
    assert told.count("made of solvers/tiny.prototxt with test_iter 7, so that val is tested once") == 2

    edit("max_iter: 30", "max_iter: 40")
    edit("test_iter: 100", "test_iter: 7")
    assert run.main(["resume", "tiny", "--caffe", "./caffe"]) == 0
    assert entries()[4]["command"][2] == f"--solver={PATH}" and not copy.exists()
    assert "test_iter" not in capfd.readouterr().err


def test_a_file_of_somebody_else_is_not_written_over(tests, capfd):
    copy = Path("runs/tiny/solver.prototxt")
    copy.parent.mkdir(parents=True)
    copy.write_text("mine")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 1
    assert (
        "runs/tiny/solver.prototxt: is in the way of this run's copy of solvers/tiny.prototxt" in capfd.readouterr().err
    )
    assert copy.read_text() == "mine"
    edit("test_iter: 100", "test_iter: 7")
    assert run.main(["train", "tiny", "--caffe", "./caffe"]) == 0 and copy.read_text() == "mine"
