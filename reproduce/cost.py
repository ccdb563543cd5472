"""How long the five trainings take, and their cost, by calculation from measured throughput.

    python -m reproduce.cost [--price 0.5] [--gpu-price 3]      (make cost PRICE=… GPU_PRICE=…)

The table has a row for each machine and precision that `make bench` and `make bench-gpu` measured. It counts every
iteration of schedule.toml at the benchmark's speed. If scoring was measured, it adds a test of val each epoch at the
scores' speed. NIN without a crop was not measured, so its time is nin1's, scaled by the image area. Prices are
dollars an hour. You give them; there is no default.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from harness import commands
from harness.duration import duration
from harness.errors import UserError
from harness.measurements import BENCH, benchmark
from report.save_results import price
from reproduce import schedule
from training.status import table

BENCHES = {"CPU": "bench_cpu.json", "GPU": "bench_gpu.json"}
VAL, EPOCH = 10_000, 1000  # images of a test, iterations between tests
MEASURED = {"alexnet": "alexnet1", "nin": "nin1"}  # the measured training of each architecture
AREA = {"nin3": (64 / 48) ** 2}  # ratio of its image area to that of the measured training


@dataclass(frozen=True)
class Calculated:
    """The five trainings on one machine in one precision."""

    machine: str
    precision: str
    seconds: float
    tests: bool  # True if the tests are counted


def calculated(path: Path) -> list[Calculated]:
    """The results of a benchmark's file; [] without one. Raises UserError if the file is broken."""
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in found["rows"] if row.get("engine", "ours") != "real Caffe"]
        training = {(row["work"].split()[-1], row["precision"]): 1 / row["iterations/s"]
                    for row in rows if "iterations/s" in row}  # fmt: skip
        scores = {(row["work"].split()[-1], row["engine"].split()[-1]): 1 / row["images/s"]
                  for row in rows if row["work"].startswith("class scores")}  # fmt: skip
        machine = str(found["machine"])
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise UserError(f"{path}: not what the benchmark writes ({error!r}); measure again, or restore it") from error
    precisions = dict.fromkeys(precision for _, precision in training)
    sums = ((precision, _seconds(training, scores, precision)) for precision in precisions)
    return [Calculated(machine, precision, *sum_) for precision, sum_ in sums if sum_]


def _seconds(training: dict, scores: dict, precision: str) -> tuple[float, bool] | None:
    """The seconds of all trainings, and True if tests are included; None if an architecture was not measured."""
    total, tests = 0.0, True
    for model, plan in schedule.read().items():
        key = next(name for family, name in MEASURED.items() if model.startswith(family)), precision
        if key not in training:
            return None
        image = scores.get(key)
        tests = tests and image is not None
        total += AREA.get(model, 1.0) * plan.until * (training[key] + (image or 0.0) * VAL / EPOCH)
    return total, tests


def by_calculation(length: float) -> list[str]:
    """A line for each measured machine and precision: the time of the trainings at a part of their length."""
    found = [one for name in BENCHES.values() for one in calculated(benchmark(name))]
    return [
        f"by calculation: about {duration(one.seconds * length)} for the five trainings on {one.machine} in {one.precision}"
        for one in found
    ]


def told(prices: dict[str, float | None]) -> str:
    """The table, and a line for each missing measurement."""
    rows = [("the five trainings on", "", "time", "cost in dollars")]
    missing, untested = [], False
    for kind, name in BENCHES.items():
        found = calculated(benchmark(name))
        for one in found:
            cost = "no price given" if prices[kind] is None else f"{one.seconds / 3600 * prices[kind]:.2f}"
            rows.append((one.machine, one.precision, f"{duration(one.seconds)}{'' if one.tests else ' *'}", cost))
            untested = untested or not one.tests
        if not found:
            missing.append(
                f"{kind}: not measured; make {'bench' if kind == 'CPU' else 'bench-gpu'} makes {BENCH / name}"
            )
    lines = [table(rows)] if len(rows) > 1 else []
    lines += ["* without the tests of val: scoring was not measured there"] if untested else []
    return "\n".join([*lines, *missing, "By calculation from measured throughput, one training after the other."])


def main(argv: list[str] | None = None) -> str | None:
    parser = argparse.ArgumentParser(prog="python -m reproduce.cost", description=__doc__.split("\n")[0])
    parser.add_argument("--price", type=price, help="dollars an hour of the CPU machine")
    parser.add_argument("--gpu-price", type=price, help="dollars an hour of the GPU machine")
    options = parser.parse_args(argv)
    try:
        print(told({"CPU": options.price, "GPU": options.gpu_price}))
    except (UserError, OSError) as error:
        return f"reproduce.cost: {error}"
    return None


if __name__ == "__main__":
    commands.run(main)
