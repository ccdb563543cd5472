"""Every number of the report beside ours."""

from report import chance, measure_all, paper, save_results
from report.experiment import Experiment

GROUPS = (
    ("result", "What came out"),
    ("setting", "What was chosen"),
    ("data", "The data"),
    ("elsewhere", "Other people's work, which nothing here repeats"),
)


def build(experiment: Experiment) -> dict:
    here = measure_all.measure_all(experiment)
    committed = save_results.read(save_results.FILE)
    rows = [(number, here.get(number.name), committed.get(number.name)) for number in paper.numbers()]
    # A constant of a prototxt is no measurement, and nobody can measure the judge's numbers any more.
    results = [bool(mine or old) for number, mine, old in rows if number.counts]
    judged = [bool(mine or old) for number, mine, old in rows if number.judge]
    return {
        # README's numbers come first, since they are the report's subject.
        "groups": [
            (kind, title, sorted((row for row in rows if _group(row[0]) == kind), key=lambda row: not row[0].readme))
            for kind, title in GROUPS
        ],
        "measured": sum(results),
        "possible": len(results),
        "judged": len(judged),
        "stood_in": sum(judged),
        "beside": chance.beside,
    }


def _group(number: paper.Number) -> str:
    return "setting" if number.chosen else number.kind
