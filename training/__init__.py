"""A solver for each model, edited by hand as the report did (section 4), and the command that trains and resumes."""


class InputError(Exception):
    """Something a person has to put right; the message is one line: what, where, what to do."""
