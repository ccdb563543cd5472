"""The one error that a user can act on."""


class UserError(Exception):
    """Something the user can put right. Its text is one line: what happened, where, and the command that fixes it."""
