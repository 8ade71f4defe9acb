"""Where the ``iri`` script begins, also in an environment that lacks what the command is made of."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command."""
    try:
        for needed in ("typer", "rich"):
            importlib.import_module(needed)
    except ImportError:
        sys.exit("the iri command needs two more packages; install them with: pip install 'iri-common[cli]'")
    from iri_common.cli.app import app

    app(prog_name="iri")
