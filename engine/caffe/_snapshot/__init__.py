"""Snapshots: writing one, resuming from one, and the files that belong to it."""
