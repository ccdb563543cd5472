"""schedule.toml: the report's drops, the effect of LENGTH, and the errors of a schedule."""

import json
import re
from pathlib import Path

import pytest

from harness.errors import UserError
from reproduce import cost, schedule
from reproduce.schedule import Phase, Schedule
from training.edits import changes
from training.solver_file import parse_solver

ROOT = Path(__file__).parents[2]


def test_the_reports_drops():
    found = schedule.read()
    for model in ("nin1", "nin2", "nin3"):  # section 5: after about 40 epochs, about 30 later, each by 10
        assert [(phase.begin, phase.rate) for phase in found[model].phases] == [(0, 0.01), (40000, 1e-3), (70000, 1e-4)]
    assert found["alexnet1"].phases == (Phase(0, 20_000, 0.01), Phase(20_000, 30_000, 0.001))
    # "make reproduce" begins and ends as a training by hand does.
    assert list(found) == ["alexnet1", "nin1", "nin2", "nin3", "alexnet2"]
    for model, of in found.items():
        path = ROOT / "solvers" / f"{model}.prototxt"
        solver = parse_solver(path.read_text(), path)
        assert schedule.same_rate(solver.base_lr, of.phases[0].rate) and solver.max_iter == of.until


def test_a_phase_changes_the_rate_and_the_end_and_nothing_else():
    path = ROOT / "solvers/nin1.prototxt"
    text = path.read_text()
    edited = schedule.solver_of(text, Phase(40_000, 70_000, 0.001), path)
    assert changes(parse_solver(text, path), parse_solver(edited, path)) == {
        "base_lr": "0.01 -> 0.001", "max_iter": "100000 -> 70000"
    }  # fmt: skip
    assert len(edited.splitlines()) == len(text.splitlines())
    assert schedule.solver_of(text, Phase(0, 100_000, 0.01), path) == text


def test_at():
    of = Schedule("x", (Phase(0, 7, 0.1), Phase(7, 9, 0.01)))
    assert [of.at(i) and of.at(i).rate for i in (0, 6, 7, 8, 9, 100)] == [0.1, 0.1, 0.01, 0.01, None, None]


@pytest.mark.parametrize(
    "length, ends", [(1, [40_000, 70_000, 100_000]), (0.1, [4000, 7000, 10_000]), (1e-9, [1, 2, 3])]
)
def test_length_scales_and_no_phase_is_lost(length, ends):
    phases = schedule.read()["nin1"].scaled(length).phases
    assert [phase.end for phase in phases] == ends
    assert [phase.begin for phase in phases] == [0, *ends[:-1]]


def test_a_rehearsals_solver_is_marked():
    path = ROOT / "solvers/alexnet2.prototxt"
    text = path.read_text()
    scaled = schedule.scaled_solver(text, 0.05, path)
    solver = parse_solver(scaled, path)
    assert (solver.test_iter[0], solver.test_interval, solver.display, solver.snapshot) == (5, 50, 1, 100)
    assert (solver.base_lr, solver.max_iter) == (parse_solver(text, path).base_lr, 30_000)
    assert schedule.length_of(scaled) == 0.05 and schedule.length_of(text) == 1
    assert schedule.scaled_solver(text, 1, path) == text


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "names no model"),
        ("[a", "not a table of schedules"),
        ("a = 1", r"\[a\]: wants rates"),
        ("[a]\nrates = [[0, 0.1]]\nuntil = 3\nextra = 1", "wants rates"),
        ("[a]\nrates = []\nuntil = 3", "rates are pairs"),
        ("[a]\nrates = [[0]]\nuntil = 3", "rates are pairs"),
        ("[a]\nrates = [[0, 0.1]]\nuntil = 3.5", "until is an iteration"),
        ("[a]\nrates = [[1, 0.1]]\nuntil = 3", "begin at 0 and rise"),
        ("[a]\nrates = [[0, 0.1], [5, 0.01]]\nuntil = 5", "begin at 0 and rise"),
        ("[a]\nrates = [[0, 0.1], [0.5, 0.01]]\nuntil = 5", "begin at 0 and rise"),
        ("[a]\nrates = [[0, 0]]\nuntil = 5", "above 0"),
        ("[a]\nrates = [[0, nan]]\nuntil = 5", "above 0"),
        ('[a]\nrates = [[0, "fast"]]\nuntil = 5', "above 0"),
    ],
)
def test_schedules_that_make_no_sense(tmp_path, text, said):
    path = tmp_path / "schedule.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as raised:
        schedule.read(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "before, after, said",
    [
        ('"fixed"', '"step" gamma: 0.1', "would not obey the schedule"),
        ("base_lr: 0.01", "# base_lr: 1", "has no base_lr"),
        ("max_iter: 100000", "max_iter: # iterations\n 100000", "0 lines with max_iter"),
    ],
)
def test_solvers_that_cannot_be_edited(before, after, said):
    path = ROOT / "solvers/nin1.prototxt"
    text = path.read_text()
    assert before in text
    with pytest.raises(UserError, match=said):
        schedule.solver_of(text.replace(before, after), Phase(0, 10, 0.5), path)


# ---- what the schedule takes -------------------------------------------------------------------------------------


def test_cost_is_arithmetic_on_what_was_measured(tmp_path, monkeypatch, capsys):
    """Both measured nets run 100 iterations a second; nin3's images have 16/9 of the area."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    assert cost.main([]) is None
    out = capsys.readouterr().out
    assert "CPU: not measured; make bench makes" in out and "GPU: not measured; make bench-gpu makes" in out
    rows = [{"work": f"train {name}", "precision": "bf16", "iterations/s": 100.0} for name in ("alexnet1", "nin1")]
    rows.append({"work": "train alexnet1", "precision": "fp32", "iterations/s": 1.0})  # one net alone gives no sum
    (tmp_path / "results/bench_gpu.json").write_text(json.dumps({"machine": "an H0", "rows": rows}))
    assert cost.main(["--gpu-price", "3.6"]) is None
    out = capsys.readouterr().out
    seconds = (30_000 * 2 + 100_000 * (2 + 16 / 9)) / 100
    assert re.search(rf"an H0 +bf16 +1 h {round(seconds / 60) - 60:02d} min \* +{seconds / 1000:.2f}", out)
    assert "* without the tests of val" in out and "CPU: not measured" in out and "fp32" not in out
    rows = [dict(row, work=f"caffe {row['work']}", engine="ours", precision="fp32") for row in rows[:2]]
    rows.append({"work": "caffe train nin1", "precision": "fp32", "engine": "real Caffe", "iterations/s": 1e-9})
    rows += [{"work": f"class scores {n}", "engine": "ours fp32", "images/s": 1000.0} for n in ("alexnet1", "nin1")]
    (tmp_path / "results/bench_cpu.json").write_text(json.dumps({"machine": "a CPU", "rows": rows}))
    assert cost.calculated(Path("results/bench_cpu.json")) == [
        cost.Calculated("a CPU", "fp32", pytest.approx(2 * seconds), True)  # a test takes as long as 1000 iterations
    ]
    # A benchmark of runs/bench/ comes before the one that is kept.
    Path("runs/bench").mkdir(parents=True)
    Path("runs/bench/bench_cpu.json").write_text(json.dumps({"machine": "this CPU", "rows": rows}))
    assert cost.main([]) is None and "this CPU" in capsys.readouterr().out
    Path("runs/bench/bench_cpu.json").unlink()
    Path("results/bench_cpu.json").write_text('{"rows": [{}]}')
    assert "results/bench_cpu.json: not what the benchmark writes" in cost.main([])


def test_the_area_of_nin3():
    sizes = {name: (ROOT / f"models/{name}/deploy.prototxt").read_text() for name in ("nin1", "nin3")}
    sides = {name: int(re.search(r"dim: 3 dim: (\d+)", text)[1]) for name, text in sizes.items()}
    assert cost.AREA["nin3"] == (sides["nin3"] / sides["nin1"]) ** 2
