"""Tests of the engine's private rooms: each layer against a slow loop, wiring, solver, files."""
