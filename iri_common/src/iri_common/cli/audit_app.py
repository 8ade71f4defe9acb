"""The command ``iri audit``: its options and help. What it does is loaded when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import KeyText
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand

app = typer.Typer()

_Text = str | None


@app.command(cls=ReadableCommand, rich_help_panel="Facilities")
def audit(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="90m, 12h, 7d ago, or a date such as 2026-11-22.")
    ] = "7d",
    profile: Annotated[
        _Text,
        typer.Option("--profile", "-f", metavar="NAME", help="Of this profile only.", show_default=False),
    ] = None,
    verb: Annotated[
        _Text, typer.Option(metavar="VERB", help="submit, cancel, write, delete, …", show_default=False)
    ] = None,
    key: KeyText = None,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="One JSON document on stdout, words on stderr.")
    ] = False,
) -> None:
    """Show what was done from here, for whom, and what came of it; also what a grant has refused."""
    from iri_common.cli.auditing import show

    screen = Screen(as_json)
    ended(screen, lambda: show(screen, since, profile, verb, key))
