"""The experiment of the report, small: `make demo`."""
