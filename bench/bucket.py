"""What a site that takes so many requests a second counts with."""

from __future__ import annotations

from dataclasses import dataclass

_LEAST_BURST = 1.0


@dataclass(slots=True)
class Bucket:
    """Tokens that come at a rate; a request takes one. It holds those of a second. Times are seconds."""

    rate: float
    tokens: float
    filled_at: float

    @staticmethod
    def full(rate: float, now: float) -> Bucket:
        """A bucket that nothing was taken from yet."""
        return Bucket(rate, max(rate, _LEAST_BURST), now)

    def take(self, now: float) -> bool:
        """Take a token; False if there is none."""
        self.tokens = min(max(self.rate, _LEAST_BURST), self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
