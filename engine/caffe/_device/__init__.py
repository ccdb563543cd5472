"""The device that computes: mode, precision, determinism, memory, random numbers, time."""
