"""The report's experiment at a small size: `make demo`."""
