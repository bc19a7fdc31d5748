"""What a benchmark raises."""


class BenchError(Exception):
    """The measurement cannot be made or does not count; the message is for a person."""
