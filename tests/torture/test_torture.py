"""The quick share of `make torture`: a dozen kills of real processes, and power cuts in this one."""

from functools import partial

import pytest

from tests.torture import FAULTS, builds, kills, power_cut

QUICK = {
    "steps of a snapshot": partial(kills.at_steps, [2, 12, 20, 21, 23, 30]),
    "random moments": partial(kills.at_random, seed=0, kills=3),
    "steps of a build": partial(builds.at_steps, [4, 13, 21], in_place=True),
    "power cuts, snapshots": power_cut.snapshots_of_a_training,
    "power cuts, snapshots in place of others": partial(power_cut.snapshots_in_place, manifests=False),
    "power cuts, LMDBs": partial(power_cut.build_of_lmdbs, in_place=True),
}


@pytest.mark.parametrize("case", QUICK)
def test_nothing_is_lost(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    QUICK[case]()


def test_the_full_set_kills_a_hundred_times():
    assert sum(case.faults for fault in FAULTS if "SIGKILL" in fault.name for case in fault.cases) >= 100
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
