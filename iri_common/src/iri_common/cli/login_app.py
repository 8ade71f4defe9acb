"""The commands ``iri login`` and ``iri logout``: options and help. What they do is loaded when one runs."""

from __future__ import annotations

from typing import Annotated

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand

app = typer.Typer()

_PANEL = "Facilities"
_Name = Annotated[
    str, typer.Argument(metavar="PROFILE", help="Or globus, for the login at Globus.", show_default=False)
]
_JSON = "One JSON document on stdout"


@app.command(cls=ReadableCommand, rich_help_panel=_PANEL)
def login(
    name: _Name,
    road: Annotated[
        str | None,
        typer.Option(
            metavar="browser|device|address",
            help="A browser here; one anywhere, to type a code into; or one anywhere, whose last address is "
            "pasted here.",
            show_default="what fits this machine and the endpoint",
        ),
    ] = None,
    paste: Annotated[
        bool, typer.Option("--paste", metavar="", help="Give the refresh token of a login made elsewhere.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help=f"{_JSON}; a link or a code as a line of it on stderr.")
    ] = False,
) -> None:
    """Log in as the profile says, in a browser or with a token that is pasted, and show how it stands then.

    What is had is written where the profile points: into a file of mode 0600, or a keyring.
    """
    from iri_common.cli.login import log_in

    screen = Screen(as_json)
    ended(screen, lambda: log_in(screen, name, road, paste=paste))


@app.command(cls=ReadableCommand, rich_help_panel=_PANEL)
def logout(
    name: _Name,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", metavar="", help="Remove files without asking.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help=f"{_JSON}.")] = False,
) -> None:
    """End a login at its endpoint where that is offered, and forget it here; tells what stays."""
    from iri_common.cli.logout import log_out

    screen = Screen(as_json)
    ended(screen, lambda: log_out(screen, name, yes=yes))
