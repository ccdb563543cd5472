"""Built LMDBs hold what Caffe expects (keys, order, labels, pixels B, G, R), and are whole or absent."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import lmdb
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from PIL import Image

from data_prep import build_lmdb, record_writer, records, staging, workers
from data_prep.decode import decode_jpeg
from data_prep.staging import WriteBehind
from data_prep.tiny_imagenet import TinyImageNet
from harness.errors import UserError
from tests.data_prep.small_tiny_imagenet import TEST, TRAIN, VAL, WNIDS, files, jpeg, write_folder, write_zip

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "reference" / "root"


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return files()


@pytest.fixture(scope="module")
def data(made, tmp_path_factory) -> Path:
    return write_zip(tmp_path_factory.mktemp("set") / "set.zip", made)


@pytest.fixture(scope="module")
def built(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "lmdb"
    build_lmdb.build(data, out, holdout=1, seed=2, workers=2)
    return out


def read(folder: Path) -> list[tuple[str, caffe_pb2.Datum]]:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


def pixels(jpeg_file: bytes) -> np.ndarray:
    rgb = np.asarray(Image.open(io.BytesIO(jpeg_file)).convert("RGB"))
    return np.stack([rgb[:, :, 2], rgb[:, :, 1], rgb[:, :, 0]])


def test_keys_labels_and_pixels(built, made):
    counts = {"train": 200 * (TRAIN - 1), "val": VAL, "test": TEST, "holdout": 200}
    for name, count in counts.items():
        found = read(built / f"{name}_lmdb")
        assert len(found) == count
        for index, (key, datum) in enumerate(found):
            number, _, path = key.partition("_")
            assert number == f"{index:08d}"
            assert (datum.channels, datum.height, datum.width, datum.encoded) == (3, 64, 64, False)
            assert np.array_equal(np.frombuffer(datum.data, np.uint8).reshape(3, 64, 64), pixels(made[path]))
            if name in ("train", "holdout"):
                assert datum.label == WNIDS.index(path.split("/")[1])
    assert [datum.label for _, datum in read(built / "test_lmdb")] == [-1] * TEST
    assert read(built / "test_lmdb")[12][0] == "00000012_test/images/test_12.JPEG"
    val = read(built / "val_lmdb")
    assert val[0][0] == "00000000_val/images/val_229.JPEG" and val[0][1].label == 229 * 37 % 200


def test_mean_labels_and_note(built):
    train = np.stack([np.frombuffer(datum.data, np.uint8) for _, datum in read(built / "train_lmdb")])
    blob = caffe_pb2.BlobProto.FromString((built / "mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 64, 64)
    assert np.array_equal(np.array(blob.data, np.float32), train.astype(np.float64).mean(axis=0).astype(np.float32))
    labels = (built / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert len(labels) == 200 and labels[3] == f"{WNIDS[3]} thing 021, élément"
    note = json.loads((built / "build.json").read_text())
    assert note["records"] == {"train": 400, "val": VAL, "test": TEST, "holdout": 200}
    assert note["seed"] == 2 and note["holdout_per_class"] == 1 and note["left_out"] == []


def test_workers_and_source_do_not_matter(built, made, tmp_path):
    folder = write_folder(tmp_path / "set", made)
    build_lmdb.build(folder, tmp_path / "lmdb", holdout=1, seed=2, workers=1)
    for name in ("train", "val", "test", "holdout"):
        ours, theirs = read(tmp_path / "lmdb" / f"{name}_lmdb"), read(built / f"{name}_lmdb")
        assert [(k, d.SerializeToString()) for k, d in ours] == [(k, d.SerializeToString()) for k, d in theirs]
    first, second = (json.loads((out / "build.json").read_text()) for out in (built, tmp_path / "lmdb"))
    assert first["lists_sha256"] == second["lists_sha256"]
    assert (built / "mean.binaryproto").read_bytes() == (tmp_path / "lmdb" / "mean.binaryproto").read_bytes()


def test_values_are_what_protobuf_writes(built, made):
    classes = {label: wnid for label, wnid in enumerate(WNIDS)}
    labels = set()
    for name in ("train", "test"):
        with (
            lmdb.open(str(built / f"{name}_lmdb"), readonly=True, lock=False) as environment,
            environment.begin() as transaction,
        ):
            for key, value in transaction.cursor():
                path = key.decode().partition("_")[2]
                label = next((label for label in classes if classes[label] in path), -1)
                datum = caffe_pb2.Datum(channels=3, height=64, width=64, label=label, encoded=False)
                datum.data = pixels(made[path]).tobytes()
                assert value == datum.SerializeToString()
                labels.add(label)
    assert labels == {-1, *range(200)}


@pytest.mark.parametrize("encoded", [False, True])
def test_memory_that_workers_share_is_used_again(data, tmp_path, monkeypatch, encoded):
    monkeypatch.setattr(workers, "AHEAD", 1)  # two batches of memory, and five batches to come
    for count in (1, 2):
        build_lmdb.build(data, tmp_path / str(count), encoded=encoded, workers=count)
    for name in ("train", "val", "test"):
        here, there = (read(tmp_path / str(count) / f"{name}_lmdb") for count in (1, 2))
        assert here == there


class DeadlyReader:
    """Kill the process that reads with it, as the kernel does when memory runs out."""

    def read(self, entry):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_an_error_in_one_line(data):
    dataset = TinyImageNet.open(data)
    with pytest.raises(UserError, match="decoding process was killed"), workers.decoders(2) as convert:
        next(convert(DeadlyReader(), {"val": dataset.val}, encoded=False))


def test_encoded_keeps_the_file(data, made, tmp_path):
    build_lmdb.build(data, tmp_path / "lmdb", encoded=True)
    for key, datum in read(tmp_path / "lmdb" / "test_lmdb"):
        assert datum.encoded and datum.data == made[key.partition("_")[2]]
    raw = build_lmdb.build(data, tmp_path / "raw")
    assert raw["records"]["train"] == 600
    means = [(tmp_path / name / "mean.binaryproto").read_bytes() for name in ("lmdb", "raw")]
    assert means[0] == means[1]


@pytest.fixture
def there(data, tmp_path) -> Path:
    """LMDBs with a held-out split, of another seed than the default."""
    assert build_lmdb.main(["--data", str(data), "--out", str(tmp_path / "lmdb"), "--holdout", "1", "--seed", "3"]) == 0
    return tmp_path / "lmdb"


def state(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_ino for path in out.rglob("*") if path.is_file()}


HOLDS = "holds 400 train, 230 val, 17 test, 200 holdout records; HOLDOUT=1 SEED=3 ENCODED=0; built from set.zip on 20"


@pytest.mark.parametrize(
    "options",
    [[], ["--holdout", "", "--seed", "", "--encoded", "", "--replace", ""], ["--holdout", "1"], ["--replace", "0"]],
)
def test_what_is_there_is_said_and_stays(data, there, capsys, options):
    before = state(there)
    assert build_lmdb.main(["--data", str(data), "--out", str(there), *options]) == 0
    assert HOLDS in capsys.readouterr().out and state(there) == before


@pytest.mark.parametrize(
    "options, told",
    [
        (["--holdout", "0"], "built with HOLDOUT=1, not HOLDOUT=0."),
        (["--holdout", "2", "--seed", "5"], "built with HOLDOUT=1, not HOLDOUT=2, and with SEED=3, not SEED=5."),
        (["--encoded"], "built with ENCODED=0, not ENCODED=1."),
        (["--encoded", "1"], "built with ENCODED=0, not ENCODED=1."),
    ],
)
def test_something_else_than_asked_for_stays_unless_it_is_replaced(data, there, capsys, options, told):
    before = state(there)
    words = ["--data", str(data), "--out", str(there), "--workers", "1", *options]
    assert build_lmdb.main(words) == 1
    said = capsys.readouterr().err
    assert HOLDS in said and told in said and "the same command with --replace" in said and state(there) == before
    assert build_lmdb.main([*words, "--replace"]) == 0
    assert "replaces 400 train" in capsys.readouterr().err
    assert not before.items() & state(there).items()


def test_another_source_is_refused_and_a_renamed_one_is_not(data, made, there, tmp_path, capsys):
    before = state(there)
    fewer = {name: content for name, content in made.items() if not name.endswith(f"{WNIDS[3]}_0.JPEG")}
    repainted = {**made, f"train/{WNIDS[3]}/images/{WNIDS[3]}_0.JPEG": jpeg(9999)}
    for number, (content, name, said) in enumerate([
        (fewer, data.name, f"from other images than {tmp_path}/0/set.zip holds"),
        (repainted, data.name, f"from other images than {tmp_path}/1/set.zip holds"),  # under the same names
        (repainted, "mine.zip", f"from set.zip, not from {tmp_path}/2/mine.zip"),
    ]):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        other = write_zip(tmp_path / str(number) / name, content)
        assert build_lmdb.main(["--data", str(other), "--out", str(there)]) == 1
        assert said in capsys.readouterr().err and state(there) == before
    shutil.copy(data, tmp_path / "renamed.zip")
    assert build_lmdb.main(["--data", str(tmp_path / "renamed.zip"), "--out", str(there)]) == 0
    assert build_lmdb.main(["--data", str(tmp_path / "none.zip"), "--out", str(there), "--replace"]) == 1
    assert "none.zip: no such zip or folder" in capsys.readouterr().err and state(there) == before


def test_a_missing_lmdb_is_built_again_with_the_options_of_before(data, there):
    shutil.rmtree(there / "val_lmdb")
    assert build_lmdb.main(["--data", str(data), "--out", str(there), "--workers", "1"]) == 0
    note = json.loads((there / "build.json").read_text())
    assert note["seed"] == 3 and note["holdout_per_class"] == 1 and (there / "val_lmdb/data.mdb").is_file()


@pytest.mark.parametrize("note", [None, "[]", "{", '{"records": {"train": "x"}, "lists_sha256": {}}'])
def test_a_folder_that_make_lmdb_did_not_write_stays(data, tmp_path, capsys, note):
    own = tmp_path / "lmdb/train_lmdb/data.mdb"
    own.parent.mkdir(parents=True)
    own.write_text("the user's own")
    if note:
        (tmp_path / "lmdb/build.json").write_text(note)
    words = ["--data", str(data), "--out", str(tmp_path / "lmdb"), "--workers", "1"]
    assert build_lmdb.main(words) == 1
    assert "holds something that make lmdb did not write whole" in capsys.readouterr().err
    assert own.read_text() == "the user's own"
    assert build_lmdb.main([*words, "--replace"]) == 0 and len(read(own.parent)) == 600


def test_a_replacement_that_died_between_its_renames_keeps_the_held_out_split(data, there, capsys):
    there.rename(there.with_name("lmdb.old"))
    there.with_name("lmdb.partial").mkdir()
    assert build_lmdb.main(["--data", str(data), "--out", str(there)]) == 0
    assert HOLDS in capsys.readouterr().out and sorted(os.listdir(there.parent)) == ["lmdb"]


def test_a_replacement_that_fails_in_the_middle_changes_nothing(made, there, tmp_path, capsys):
    before = state(there)
    bad = write_zip(tmp_path / "bad.zip", with_bad(made, 4))
    assert build_lmdb.main(["--data", str(bad), "--out", str(there), "--workers", "1", "--replace"]) == 1
    assert "images do not decode" in capsys.readouterr().err and state(there) == before


def test_the_command_that_builds_anew_has_the_options_that_stay(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINY_IMAGENET", str(data))
    assert build_lmdb.main(["--holdout", "1", "--workers", "1"]) == 0
    assert build_lmdb.main(["--seed", "4"]) == 1
    assert f": make lmdb TINY_IMAGENET={data} HOLDOUT=1 SEED=4 REPLACE=1\n" in capsys.readouterr().err


def with_bad(made: dict[str, bytes], count: int) -> dict[str, bytes]:
    names = [f"train/{wnid}/images/{wnid}_1.JPEG" for wnid in WNIDS[50 : 50 + count]]
    return {**made, **{name: made[name][:200] for name in names}}


def test_bad_images_at_the_tolerance_are_left_out_and_named(made, tmp_path, capsys):
    path = write_zip(tmp_path / "set.zip", with_bad(made, 2))
    share = 2.5 / (200 * TRAIN + VAL + TEST)
    arguments = ["--data", str(path), "--out", str(tmp_path / "lmdb"), "--workers", "1"]
    assert build_lmdb.main([*arguments, "--max-bad", str(share)]) == 0
    told = capsys.readouterr().err
    for wnid in WNIDS[50:52]:
        assert f"warning: left out train/{wnid}/images/{wnid}_1.JPEG: does not decode" in told
    found = read(tmp_path / "lmdb" / "train_lmdb")
    assert len(found) == 598 and not any(f"{WNIDS[50]}_1.JPEG" in key for key, _ in found)
    # The number in the key stays that of the list, as with convert_imageset.
    assert int(found[-1][0][:8]) == 599
    train = np.stack([np.frombuffer(datum.data, np.uint8) for _, datum in found])
    blob = caffe_pb2.BlobProto.FromString((tmp_path / "lmdb" / "mean.binaryproto").read_bytes())
    assert np.array_equal(np.array(blob.data, np.float32), train.mean(axis=0).astype(np.float32))
    assert len(json.loads((tmp_path / "lmdb" / "build.json").read_text())["left_out"]) == 2


def test_bad_images_above_the_tolerance_keep_nothing(made, tmp_path, capsys):
    path = write_zip(tmp_path / "set.zip", with_bad(made, 1))
    assert build_lmdb.main(["--data", str(path), "--out", str(tmp_path / "lmdb"), "--workers", "2"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: 1 images do not decode, 0 are tolerated") and told.count("\n") == 1
    assert f"train/{WNIDS[50]}/images/{WNIDS[50]}_1.JPEG" in told
    assert sorted(os.listdir(tmp_path)) == ["set.zip"]


def test_another_size_and_a_missing_set_keep_what_was_there(made, built, tmp_path, capsys):
    out = shutil.copytree(built, tmp_path / "lmdb")
    before = (out / "build.json").read_bytes()
    name = f"train/{WNIDS[8]}/images/{WNIDS[8]}_0.JPEG"
    path = write_zip(tmp_path / "set.zip", {**made, name: jpeg(1, (48, 80))})
    for source, told in (
        (path, f"{name}: the image is 48x80"),
        (tmp_path / "none.zip", "no such zip or folder"),
    ):
        assert build_lmdb.main(["--data", str(source), "--out", str(out), "--workers", "2", "--replace"]) == 1
        assert told in capsys.readouterr().err
    assert (out / "build.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["lmdb", "set.zip"]


def test_a_finished_build_is_replaced(data, tmp_path):
    build_lmdb.build(data, tmp_path / "lmdb", holdout=1)
    build_lmdb.build(data, tmp_path / "lmdb")
    assert sorted(os.listdir(tmp_path)) == ["lmdb"]
    assert "holdout_lmdb" not in os.listdir(tmp_path / "lmdb")


def test_an_interrupted_replacement_is_undone(built, made, tmp_path):
    shutil.copytree(built, tmp_path / "lmdb.old")
    path = write_zip(tmp_path / "set.zip", with_bad(made, 5))
    with pytest.raises(UserError, match="5 images do not decode|1 images do not decode"):
        build_lmdb.build(path, tmp_path / "lmdb", max_bad=0)
    assert sorted(os.listdir(tmp_path)) == ["lmdb", "set.zip"]


def test_too_little_disk_is_said_before_anything_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(UserError, match=r"needs 0.02 GB free .* 0.00 GB"):
        build_lmdb.build(data, tmp_path / "lmdb")
    assert os.listdir(tmp_path) == []


def test_room_that_a_dead_build_took_counts_as_free(data, tmp_path, monkeypatch):
    partial = tmp_path / "lmdb.partial"
    partial.mkdir()
    (partial / "data.mdb").write_bytes(bytes(1000))
    usage = shutil._ntuple_diskusage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 0 if list(partial.iterdir()) else 10**9))
    build_lmdb.build(data, tmp_path / "lmdb")
    assert os.listdir(tmp_path) == ["lmdb"]


def test_stated_disk_need_is_enough_and_not_far_off(built, data, tmp_path):
    dataset = TinyImageNet.open(data)
    used = os.stat(built / "val_lmdb" / "data.mdb").st_blocks * 512
    assert used <= record_writer.disk_bytes(dataset.reader, dataset.val, encoded=False) < 1.4 * used


def test_the_map_grows(tmp_path):
    values = os.urandom(12_300)
    batches = [
        records.RecordBatch([b"%08d" % (20 * b + i) for i in range(20)],
                            [(12_300 * i, 12_300 * (i + 1)) for i in range(20)], values * 20, np.zeros(0), [])
        for b in range(10)
    ]  # fmt: skip
    with WriteBehind(step=300_000) as behind, record_writer.RecordWriter(tmp_path, 1 << 16, behind) as writer:
        for batch in batches:
            writer.append(batch)
    assert writer.count == record_writer.count_records(tmp_path) == 200
    with (
        lmdb.open(str(tmp_path), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert [key for key, value in transaction.cursor() if value == values] == [b"%08d" % i for i in range(200)]


def test_files_go_to_disk_while_they_are_written(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(staging, "_sync", synced.append)
    with WriteBehind(step=100) as behind:
        for number in range(5):
            behind.wrote(tmp_path / f"{number // 2}", 60)
            wait([behind._sync] if behind._sync else [])
    assert synced == [tmp_path / "0", tmp_path / "1"]


def test_a_disk_that_fails_while_it_is_written_to_is_an_error(data, tmp_path, monkeypatch, capsys):
    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(staging, "_sync", fail)
    monkeypatch.setattr(build_lmdb, "WriteBehind", partial(WriteBehind, step=1 << 20))
    assert build_lmdb.main(["--data", str(data), "--out", str(tmp_path / "lmdb"), "--workers", "1"]) == 1
    assert "Input/output error" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def slow_build(data: Path, out: Path, workers: int) -> subprocess.Popen:
    """A build in its own process group that says "wrote" after its first batch and then stands still."""
    script = (
        # A shell makes background jobs, and so the tests' children, ignore Ctrl-C.
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from data_prep import build_lmdb, record_writer\n"
        "append = record_writer.RecordWriter.append\n"
        "def slow(self, batch): append(self, batch); print('wrote', flush=True); time.sleep(60)\n"
        "record_writer.RecordWriter.append = slow\n"
        "sys.exit(build_lmdb.main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "--data",
        str(data),
        "--out",
        str(out),
        "--workers",
        str(workers),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "engine"), str(ROOT)])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, start_new_session=True)


def test_killed_build_leaves_no_finished_name_and_starts_again(data, tmp_path):
    out = tmp_path / "lmdb"
    with slow_build(data, out, workers=1) as process:
        assert process.stdout.readline() == b"wrote\n"
        # Meanwhile a second build of the same folder is refused.
        with pytest.raises(UserError, match="another process is making it"):
            build_lmdb.build(data, out)
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == ["lmdb.partial"]
    build_lmdb.build(data, out)
    assert os.listdir(tmp_path) == ["lmdb"]
    assert len(read(out / "train_lmdb")) == 600


def test_a_killed_builds_processes_end_too(data, tmp_path):
    with slow_build(data, tmp_path / "lmdb", workers=2) as process:
        assert process.stdout.readline() == b"wrote\n"
        process.kill()
        process.communicate(timeout=60)  # they hold its output open


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda transaction, key: transaction.put(key, b"damaged"), "is read back as another"),
        (lambda transaction, key: transaction.delete(key), "is read back as another"),
        (lambda transaction, key: transaction.put(key + b"!", b""), "600 records were written and 603 are there"),
    ],
)
def test_what_is_written_is_read_back(data, tmp_path, monkeypatch, capsys, damage, told):
    put = record_writer.RecordWriter._put

    def other(self, items):
        put(self, items)
        with self._environment.begin(write=True) as transaction:
            damage(transaction, items[-1][0])

    monkeypatch.setattr(record_writer.RecordWriter, "_put", other)
    assert build_lmdb.main(["--data", str(data), "--out", str(tmp_path / "lmdb"), "--workers", "1"]) == 1
    told_now = capsys.readouterr().err
    assert "train_lmdb: " in told_now and told in told_now
    assert os.listdir(tmp_path) == []


def test_ctrl_c_cleans_up(data, tmp_path):
    with slow_build(data, tmp_path / "lmdb", workers=2) as process:
        assert process.stdout.readline() == b"wrote\n"
        os.killpg(process.pid, signal.SIGINT)
        told = process.stderr.read().decode()
    assert (process.returncode, told) == (130, "stopped; nothing was kept under the final name\n")
    assert os.listdir(tmp_path) == []


def test_building_imports_no_torch():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "engine"), str(ROOT)])}
    check = "import sys, data_prep.build_lmdb, data_prep.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], env=environment).returncode == 0


@pytest.mark.skipif(
    not (REFERENCE / "usr/bin/convert_imageset").exists() or os.geteuid() != 0,
    reason="real Caffe is not installed (make reference-caffe), or not root",
)
def test_records_and_mean_equal_real_caffe_byte_for_byte(data, built, made, tmp_path):
    work = REFERENCE / "tmp" / f"data_prep-{os.getpid()}"
    keys = [key.partition("_")[2] for key, _ in read(built / "train_lmdb")]
    labels = [datum.label for _, datum in read(built / "train_lmdb")]
    try:
        write_folder(work / "images", {**{name: made[name] for name in keys}, "cmyk.JPEG": jpeg(77, mode="CMYK")})
        (work / "list").write_text("".join(f"{name} {label}\n" for name, label in zip(keys, labels)))
        (work / "cmyk").write_text("cmyk.JPEG 0\n")
        inside = Path("/tmp") / work.name
        for listing in ("list", "cmyk"):
            run = ["convert_imageset", f"{inside}/images/", f"{inside}/{listing}", f"{inside}/{listing}_lmdb"]
            subprocess.run(["chroot", str(REFERENCE), *run], check=True, capture_output=True)
        run = ["compute_image_mean", f"{inside}/list_lmdb", f"{inside}/mean"]
        subprocess.run(["chroot", str(REFERENCE), *run], check=True, capture_output=True)
        raw = {}
        for name, folder in (("ours", built / "train_lmdb"), ("real", work / "list_lmdb")):
            with (
                lmdb.open(str(folder), readonly=True, lock=False) as environment,
                environment.begin() as transaction,
            ):
                raw[name] = list(transaction.cursor())
        assert raw["ours"] == raw["real"]
        assert (built / "mean.binaryproto").read_bytes() == (work / "mean").read_bytes()
        ((_, cmyk),) = read(work / "cmyk_lmdb")
        assert cmyk.data == decode_jpeg(jpeg(77, mode="CMYK"), "cmyk.JPEG").tobytes()
    finally:
        shutil.rmtree(work, ignore_errors=True)
