"""Files that were cut or changed: every input gets a clear error.

``artifacts.py`` lists every kind of file the project reads, with a whole one and its reader. ``damage.py`` damages it.
``trial.py`` reads the damaged file in its own process, so a crash or a hang is seen as one.
"""
