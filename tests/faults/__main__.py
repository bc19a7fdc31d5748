"""`python -m tests.faults`: the long runs, or one: `python -m tests.faults SEED PERCENT JOBS SECONDS`."""

from __future__ import annotations

import sys

from tests.faults.long import LONG, prove

if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(prove([(int(given[0]), int(given[1]), int(given[2]), float(given[3]))] if given else LONG))
