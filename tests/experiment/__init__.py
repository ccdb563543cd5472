"""The experiment: data, models, solvers and ensemble, with our engine behind the door."""
