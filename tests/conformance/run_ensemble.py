"""Run the ensemble's three steps with the engine that runs this, on the experiment in the current folder.

They run a second time with ten windows of every image.

python run_ensemble.py MODEL...     runs in an engine's Python (3.9 and NumPy 1.19 too)
"""

import sys

from ensemble import combine, submission
from ensemble.scoring import scores

models = sys.argv[1:]
for view in ([], ["--view", "10crop"]):
    steps = [(scores.main, [model, "--batch", "6", *view]) for model in models]
    for step, arguments in [*steps, (combine.main, [*models, *view]), (submission.main, view)]:
        error = step(arguments)
        if error:
            sys.exit(error)
