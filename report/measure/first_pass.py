"""What came before the five trainings: K-means."""

from baselines import kmeans
from ensemble import rule
from ensemble.files import BadInput
from report.experiment import Experiment
from report.ours import Made, Ours, measures
from solvers import provenance


def kmeans_rows(experiment: Experiment) -> list[kmeans.Row]:
    """The fits on the images that are here; none where the file cannot be read, which is told."""
    mean = experiment.data / "mean.binaryproto"
    if not mean.is_file():
        return []
    try:
        rows = kmeans.read(experiment.runs / kmeans.NAME)
    except (BadInput, OSError) as error:
        if str(error) not in experiment.problems:
            experiment.problems.append(str(error))
        return []
    here = provenance.digest_of_mean(mean)
    return [row for row in rows if row.data == here]


@measures("kmeans-error")
def kmeans_error(experiment: Experiment) -> Ours | None:
    """Of as many clusters as there are classes, or the number next to it; the lowest seed's, not the best one's."""
    rows = kmeans_rows(experiment)
    if not rows:
        return None
    clusters = min({row.clusters for row in rows}, key=lambda count: abs(count - rule.CLASSES))
    same = sorted((row for row in rows if row.clusters == clusters), key=lambda row: row.seed)
    first = same[0]
    note = f"{clusters} clusters, 95 % interval {first.val.low:.3f} to {first.val.high:.3f}"
    if len(same) > 1:
        errors = [row.val.error for row in same]
        note += f"; {len(same)} seeds {min(errors):.3f} to {max(errors):.3f}"
    made = Made(first.command, first.commit, first.machine, first.data, (first.seed,), first.seconds, first.time)
    return Ours(f"{first.val.error:.3f}", note, made=made)
