"""Shared by every room of the experiment: how a command ends, whole-file writes, intervals, provenance."""
