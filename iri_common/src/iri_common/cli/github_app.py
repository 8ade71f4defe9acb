"""The commands under ``iri github``: for the steps of ``action.yml``, documented for whoever debugs one."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="github",
    help="What the steps of the GitHub Action do.",
    no_args_is_help=True,
)


@app.command()
def run() -> None:
    """Run the job of this step: inputs from INPUT_*, the key from GITHUB_*; outputs, marks and summary."""
    from iri_common.cli.github import run as do_run

    raise typer.Exit(do_run())


@app.command()
def cancel() -> None:
    """End whatever this step's key asked for; for the step that follows a cancelled workflow."""
    from iri_common.cli.github import cancel as do_cancel

    raise typer.Exit(do_cancel())
