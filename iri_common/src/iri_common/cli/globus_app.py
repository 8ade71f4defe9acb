"""The commands under ``iri globus``: a person's login, so that jobs and transfers go on without one."""

from __future__ import annotations

from typing import Annotated

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand

app = typer.Typer(name="globus", help="The login at Globus.", no_args_is_help=True)

_Many = list[str] | None
_Facility = Annotated[
    str | None, typer.Option("--facility", "-f", metavar="NAME", help="A profile with a client of its own.")
]
_Client = Annotated[
    str | None, typer.Option(metavar="ID", help="The application, instead of the configured one.")
]


@app.callback()
def globus() -> None:
    """The login at Globus."""


@app.command(cls=ReadableCommand)
def login(
    collection: Annotated[_Many, typer.Option(metavar="ID", help="Whose data will be needed.")] = None,
    facility: _Facility = None,
    client: _Client = None,
    scope: Annotated[_Many, typer.Option(metavar="SCOPE", help="Further scopes.")] = None,
    domain: Annotated[_Many, typer.Option(metavar="DOMAIN", help="Log in with an identity of it.")] = None,
    policy: Annotated[_Many, typer.Option(metavar="ID", help="That the login has to meet.")] = None,
    identity: Annotated[_Many, typer.Option(metavar="ID", help="That the login has to bring.")] = None,
    mfa: Annotated[bool, typer.Option("--mfa", metavar="", help="With a second factor.")] = False,
) -> None:
    """Log in at Globus with a browser, and keep the tokens for jobs and transfers that come.

    Prints a link; the page behind it shows a code, which is pasted here.
    """
    from iri_common.apis.globus.rules import Needs
    from iri_common.cli.globus_login import log_in

    needs = Needs(scope or (), domain or (), policy or (), identity or (), mfa)
    screen = Screen()
    ended(screen, lambda: log_in(screen, facility, client, collection or (), needs))


@app.command(cls=ReadableCommand)
def logout(facility: _Facility = None, client: _Client = None) -> None:
    """End the login at Globus, and forget its tokens."""
    from iri_common.cli.globus_login import log_out

    screen = Screen()
    ended(screen, lambda: log_out(screen, facility, client))
