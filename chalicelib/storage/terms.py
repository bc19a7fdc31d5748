"""What the writes depend on: the rules, and how long an item is kept."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.jobs.decide import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Rules and lease, for the writes; milliseconds."""

    rules: Rules
    lease: int

    def sweep_at(self, submitted_at: int) -> int:
        """When an item may be swept, in seconds: not before the youngest sharer of its fetch has expired."""
        return -(-(submitted_at + self.rules.retention + self.rules.sharing) // 1000)
