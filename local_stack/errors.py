"""The error that stops the local stack."""


class StackError(Exception):
    """The stack cannot run; the text is one line that says why, and what to do."""
