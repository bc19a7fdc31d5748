"""`python -m client` from the repository's root: the command line `fetch-queue`, without installing it."""

from __future__ import annotations

import sys
from pathlib import Path

# The package is called the same here as where it is installed.
sys.path.insert(0, str(Path(__file__).parent))

from fetch_queue.shell import main

if __name__ == "__main__":
    main()
