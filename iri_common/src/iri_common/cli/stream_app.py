"""The commands under ``iri stream``: clusters of message brokers (S3M) as leases."""

from __future__ import annotations

from typing import Annotated

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread

app = typer.Typer(name="stream", help="Clusters of message brokers, leased (S3M).", no_args_is_help=True)

Key = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="SEG/SEG…", help="The identity it was asked for under.", show_default=False
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="Wait no longer: seconds or H:MM:SS.", show_default="15:00"
    ),
]
_REF = "A cluster, as iri stream provision prints it."
Lease = Annotated[str | None, typer.Argument(metavar="REF", help=_REF, show_default=False)]


@app.callback()
def stream() -> None:
    """Clusters of message brokers, leased (S3M)."""


@app.command(cls=ReadableCommand)
@spread
def backends(door: DoorWords) -> None:
    """List what can be set up, and what can be chosen of it."""
    from iri_common.cli.streams import backends as do_backends

    screen = Screen(door.json)
    ended(screen, lambda: do_backends(screen, door))


@app.command(cls=ReadableCommand)
@spread
def provision(
    door: DoorWords,
    engine: Annotated[str, typer.Argument(metavar="ENGINE", help="As iri stream backends lists it.")],
    kind: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the engine has several.", show_default=False)
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=N", help="What is chosen, such as cpus=2."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", "-N", metavar="NAME", help="For people who look at it.")
    ] = "stream",
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="SEG/SEG…",
            help="Who asks: asked again under this key, it is the same cluster.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", metavar="", help="Only ask for it.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Show what would be asked for; send nothing.")
    ] = False,
) -> None:
    """Set up a cluster, wait until it can be used, print its reference; its credentials are kept here."""
    from iri_common.cli.streams import provision as do_provision

    screen = Screen(door.json)
    words = (engine, kind, setting or (), name)
    waits = not no_wait
    ended(screen, lambda: do_provision(screen, door, words, key, timeout, waits=waits, dry_run=dry_run))


@app.command(cls=ReadableCommand)
@spread
def use(
    door: DoorWords,
    reference: Annotated[str, typer.Argument(metavar="REF", help=_REF)],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="After a --. Finds IRI_STREAM_USER, IRI_STREAM_PASSWORD, and URLs in IRI_STREAM_AMQPS and "
            "IRI_STREAM_MANAGEMENT, or IRI_STREAM_REDIS.",
            show_default=False,
        ),
    ] = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", metavar="", help="Print user, password and URLs instead.")
    ] = False,
) -> None:
    """Run a command here with the credentials of a cluster in its environment; exits as the command does."""
    from iri_common.cli.streams import use as do_use

    screen = Screen(door.json)
    ended(screen, lambda: do_use(screen, door, reference, command or (), reveal=reveal))


@app.command(cls=ReadableCommand)
@spread
def show(door: DoorWords, reference: Lease = None, key: Key = None) -> None:
    """Show how a cluster stands, and how long it has."""
    from iri_common.cli.streams import show as do_show

    screen = Screen(door.json)
    ended(screen, lambda: do_show(screen, door, reference, key))


@app.command("list", cls=ReadableCommand)
@spread
def list_(
    door: DoorWords,
    every: Annotated[
        bool, typer.Option("--all", "-a", metavar="", help="All of the project, whoever asked.")
    ] = False,
) -> None:
    """List the clusters that are on record here."""
    from iri_common.cli.streams import listed

    screen = Screen(door.json)
    ended(screen, lambda: listed(screen, door, every=every))


@app.command(cls=ReadableCommand)
@spread
def extend(door: DoorWords, reference: Lease = None, key: Key = None) -> None:
    """Let the time of a cluster begin anew."""
    from iri_common.cli.streams import extend as do_extend

    screen = Screen(door.json)
    ended(screen, lambda: do_extend(screen, door, reference, key))


@app.command(cls=ReadableCommand)
@spread
def release(
    door: DoorWords,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF…", help="Clusters, as iri stream provision prints them.", show_default=False
        ),
    ] = None,
    key: Key = None,
    timeout: Timeout = None,
) -> None:
    """Delete clusters for good, with what is in them."""
    from iri_common.cli.streams import release as do_release

    screen = Screen(door.json)
    ended(screen, lambda: do_release(screen, door, references or (), key, timeout))
