"""What arrives on a connection in answer to one request, read in order and counted."""

from __future__ import annotations

import io

_BUFFER = 32 * 1024


class Source(io.RawIOBase):
    """A stream that counts what was read from it."""

    received = 0  # bytes


class Incoming:
    """Lines and pieces from a source, which is closed together with this."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffered = io.BufferedReader(source, _BUFFER)
        self.taken = 0  # bytes

    def line(self, most: int) -> bytes:
        """Up to and including the next line feed or the end, but at most this many bytes."""
        line = self._buffered.readline(most)
        self.taken += len(line)
        return line

    def piece(self, size: int) -> bytes:
        """This many bytes, or what there is before the end."""
        piece = self._buffered.read(size)
        self.taken += len(piece)
        return piece

    @property
    def unread(self) -> bool:
        """Whether more was received than was taken."""
        return self._source.received > self.taken

    def close(self) -> None:
        """Close the source."""
        self._buffered.close()
