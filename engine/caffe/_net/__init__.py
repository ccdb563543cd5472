"""A net: its layers wired by blobs, the passes over them, parameters and weights."""
