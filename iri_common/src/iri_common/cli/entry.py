"""Where the ``iri`` script begins, also in an environment that lacks what the command is made of."""

from __future__ import annotations

import importlib
import io
import sys


def main() -> None:
    """Run the command."""
    try:
        for needed in ("typer", "rich"):
            importlib.import_module(needed)
    except ImportError:
        sys.exit("the iri command needs two more packages; install them with: pip install 'iri-common[cli]'")
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="replace")  # what a job writes may not fit this terminal's letters
    try:
        from iri_common.cli.app import app

        app(prog_name="iri")
    except KeyboardInterrupt:  # before a command has taken Ctrl-C into its own hands
        sys.exit(130)
