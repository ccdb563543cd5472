"""What came before the five trainings: K-means over numbers of clusters and seeds."""

from baselines import kmeans
from report import Missing, kept, paper
from report.experiment import Experiment
from report.measure.first_pass import kmeans_rows


def build(experiment: Experiment) -> dict:
    rows, here = kmeans_rows(experiment), True
    if not rows:
        rows, here = kmeans.read(kept.FILE.with_name(kmeans.NAME)), False
    if not rows:
        raise Missing("Nothing was clustered yet: make kmeans")
    return {
        "rows": rows,
        "kept": not here,
        "machines": sorted({row.machine for row in rows if row.machine}),
        "images": rows[0].train_images,
        "val_images": rows[0].val.images,
        "values": rows[0].values,
        "chance": kmeans.CHANCE,
        "theirs": paper.value("kmeans-error"),
    }
