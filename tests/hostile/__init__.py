"""Files that were cut or changed: whatever is fed in, the answer is a clear error.

``artifacts.py`` lists every kind of file the project reads, with a whole one and its reader; ``damage.py`` damages
it; ``trial.py`` reads the damaged file in a process of its own, so that a crash or a hang is seen as one.
"""
