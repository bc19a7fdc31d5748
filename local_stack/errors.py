"""What stops the local stack."""


class StackError(Exception):
    """The stack cannot run; its text is the one line that says why, and what to do."""
