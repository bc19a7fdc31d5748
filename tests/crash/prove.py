"""The proof, deeper than in the tests: more orders, more random histories, on moto and then on the embedded emulator,
whose conditional writes are another implementation. `make prove`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from local_stack import emulator, sockets
from tests.faults import long

ROOT = Path(__file__).parent.parent.parent
ON_MOTO = {"PROVE_ORDERS": "50", "PROVE_MODELS": "25", "PROVE_STEPS": "50"}
ON_MINISTACK = {"PROVE_ORDERS": "150", "PROVE_MODELS": "60", "PROVE_STEPS": "50"}  # which takes a third of moto's time


def prove(depth: Mapping[str, str], **extra: str) -> int:
    """Run the proof in a process of its own; returns its exit status."""
    environment = {**depth, **os.environ, **extra}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "tests/crash"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> None:
    """Prove on both; exits 1 when either fails."""
    print("On moto, in process:", flush=True)
    status = prove(ON_MOTO)
    port = sockets.free_port(0, "EMULATOR_PORT")
    with tempfile.TemporaryDirectory(prefix="fetch-queue-prove-") as directory:
        ministack = emulator.Emulator(emulator.install(print), port, Path(directory))
        try:
            ministack.start()
            print("On ministack:", flush=True)
            status |= prove(ON_MINISTACK, PROVE_ENDPOINT=ministack.url)
        finally:
            ministack.end(1.0)
    status |= long.prove()
    sys.exit(status)


if __name__ == "__main__":
    main()
