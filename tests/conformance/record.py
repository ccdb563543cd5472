"""Record what real Caffe does, for machines without it: `make record` (needs `make reference-caffe`, and root
for chroot).
"""

from __future__ import annotations

import sys

from . import changes, reference, training, trajectories
from .engines import REAL, workspace


def main() -> int:
    """Run real Caffe on everything and write recorded/. Exit status 1 where it cannot be run here."""
    if reason := REAL.why_not():
        print(f"record: error: real Caffe: {reason}", file=sys.stderr)
        return 1
    with workspace() as work:
        training.prepare(REAL, work)
        found = reference.live(work)
        if failed := {key: str(value) for key, value in found.layers.items() if key.endswith("|error")}:
            print(f"record: error: real Caffe refuses a layer case: {failed}", file=sys.stderr)
            return 1
        reference.record(found, work)
        trajectories.record(trajectories.live(work))
        changes.record(changes.run(REAL, work)[0])
    files = [path for path in reference.RECORDED.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"record: {len(files)} files, {size / 1000:.0f} kB in tests/conformance/recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
