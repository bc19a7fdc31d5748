"""The proof, deeper than in the tests: more orders, deaths and random histories, on moto and at the same time on the
embedded emulator, whose conditional writes are another implementation; then the long storms of faults. `make prove`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from local_stack import emulator, sockets
from tests.faults import long

ROOT = Path(__file__).parent.parent.parent
ON_MOTO = {"DEPTH": "full", "PROVE_ORDERS": "25", "PROVE_DEATHS": "16", "PROVE_MODELS": "25", "PROVE_STEPS": "40"}
ON_MINISTACK = {"DEPTH": "full", "PROVE_ORDERS": "50", "PROVE_DEATHS": "32", "PROVE_MODELS": "40", "PROVE_STEPS": "50"}


def prove(name: str, depth: Mapping[str, str], **extra: str) -> tuple[int, str]:
    """Run the proof in a process of its own; returns its exit status and what it printed."""
    environment = {**depth, **os.environ, **extra}
    command = [sys.executable, "-m", "pytest", "-q", "-s", "tests/crash"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ran.returncode, f"On {name}:\n{ran.stdout}"


def main() -> None:
    """Prove on both; exits 1 when anything fails."""
    port = sockets.free_port(0, "EMULATOR_PORT")
    status = 0
    with tempfile.TemporaryDirectory(prefix="fetch-queue-prove-") as directory:
        ministack = emulator.Emulator(emulator.install(print), port, Path(directory))
        try:
            ministack.start()
            with ThreadPoolExecutor(2) as pool:
                both = [
                    pool.submit(prove, "moto, in process", ON_MOTO),
                    pool.submit(prove, "ministack", ON_MINISTACK, PROVE_ENDPOINT=ministack.url),
                ]
                for ended in as_completed(both):
                    exit_status, printed = ended.result()
                    print(printed, flush=True)
                    status |= exit_status
        finally:
            ministack.end(1.0)
    print("Storms of faults:", flush=True)
    status |= long.prove()
    sys.exit(status)


if __name__ == "__main__":
    main()
