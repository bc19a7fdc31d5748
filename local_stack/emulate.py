"""Runs the emulator, by the Python of the emulator's own environment, and ends with the launcher."""

import os
import sys
import threading


def _end_with_launcher() -> None:
    # local_stack.lifeline, told again: nothing of the project can be imported in that environment.
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    from ministack.app import main

    threading.Thread(target=_end_with_launcher, daemon=True).start()
    sys.argv[1:] = []
    main()
