"""`python -m deployment package|deploy|destroy --stage prod`, which is what the make targets call."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence

from deployment import deploy
from deployment.errors import DeploymentError
from deployment.package import package

say = functools.partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out one of the three; what is missing or refused is reported in one line, with status 1."""
    parser = argparse.ArgumentParser(prog="python -m deployment", description=__doc__)
    parser.add_argument("command", choices=("package", "deploy", "destroy"))
    parser.add_argument("--stage", required=True, help="the stage; its values are in .chalice/parameters-<stage>.json")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "package":
                packaged = package(given.stage)
                size = packaged.archive.stat().st_size / 1e6
                described = f"{size:.1f} MB, sha-256 of its content {packaged.digest}"
                say(f"{packaged.template}\n{packaged.archive} ({described})\n{packaged.sbom}")
            case "deploy":
                deploy.deploy(given.stage, say)
            case "destroy":
                deploy.destroy(given.stage, say)
    except DeploymentError as error:
        sys.exit(f"Fetch Queue: {error}")
    except KeyboardInterrupt:
        sys.exit(
            "Stopped before it was done. CloudFormation goes on by itself; the same command later shows how it went."
        )


if __name__ == "__main__":
    main()
