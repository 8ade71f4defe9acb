"""The commands under ``iri path``: paths through a network (SENSE) as leases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread

app = typer.Typer(name="path", help="Paths through a network, leased (SENSE).", no_args_is_help=True)

Ends = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="END…",
        help="URIs of the ports at its ends, each with =VLAN if it matters: any, 3605, 3600-3619.",
        show_default=False,
    ),
]
Lease = Annotated[
    str | None,
    typer.Argument(metavar="REF", help="A path, as iri path open prints it.", show_default=False),
]
Leases = Annotated[
    list[str] | None,
    typer.Argument(metavar="REF…", help="Paths, as iri path open prints them.", show_default=False),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="SEG/SEG…", help="The identity it was asked for under.", show_default=False
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="Wait no longer: seconds or H:MM:SS.", show_default="20:00"
    ),
]
_END = "The path"


def _path(*flags: str, help: str, metavar: str = "") -> Any:
    return typer.Option(*flags, help=help, metavar=metavar, show_default=False, rich_help_panel=_END)


@dataclass(frozen=True, slots=True)
class PathWords:
    """A path, in the words of a shell."""

    mbps: Annotated[int, _path(metavar="N", help="Megabits a second.")] = 0
    quality: Annotated[
        str, _path(metavar="NAME", help="guaranteed (if not said), soft, available or best-effort.")
    ] = "guaranteed"
    start: Annotated[str, _path(metavar="WHEN", help="A moment, or such as +1h; now if not said.")] = "now"
    end: Annotated[str | None, _path(metavar="WHEN", help="When it ends by itself; else never.")] = None
    profile: Annotated[
        str | None, _path(metavar="ID", help="One that the network's operators describe, in place of ends.")
    ] = None
    change: Annotated[
        list[str] | None, _path(metavar="NAME=VALUE", help="What is different from that profile.")
    ] = None
    name: Annotated[str, _path("--name", "-N", metavar="NAME", help="For people who look at it.")] = "path"


@app.callback()
def path() -> None:
    """Paths through a network, leased (SENSE)."""


@app.command(cls=ReadableCommand)
@spread
def plan(door: DoorWords, words: PathWords, ends: Ends = None) -> None:
    """Ask what the network could give; nothing is reserved."""
    from iri_common.cli.paths import plan as do_plan

    screen = Screen(door.json)
    ended(screen, lambda: do_plan(screen, door, ends or (), words))


@app.command("open", cls=ReadableCommand)
@spread
def open_(
    door: DoorWords,
    words: PathWords,
    ends: Ends = None,
    key: Annotated[
        str | None,
        _path("--key", metavar="SEG/SEG…", help="Who asks: asked again under this key, it is the same path."),
    ] = None,
    timeout: Timeout = None,
    no_wait: Annotated[bool, _path("--no-wait", help="Only ask for it.")] = False,
    dry_run: Annotated[bool, _path("--dry-run", help="Show what would be asked for; send nothing.")] = False,
) -> None:
    """Lease a path, wait until it is up, print its reference."""
    from iri_common.cli.paths import open_path

    screen = Screen(door.json)
    waits = not no_wait
    ended(
        screen,
        lambda: open_path(screen, door, ends or (), words, key, timeout, waits=waits, dry_run=dry_run),
    )


@app.command(cls=ReadableCommand)
@spread
def change(
    door: DoorWords,
    words: PathWords,
    reference: Annotated[str, typer.Argument(metavar="REF", help="The path, as iri path open prints it.")],
    ends: Ends = None,
    timeout: Timeout = None,
    dry_run: Annotated[bool, _path("--dry-run", help="Show what would be asked for; send nothing.")] = False,
) -> None:
    """Have a path that is up become what is said now, all of it; the one there is stays if there is no such.

    Its bandwidth or schedule may be another one; its ends are said again.
    """
    from iri_common.cli.paths import change as do_change

    screen = Screen(door.json)
    ended(screen, lambda: do_change(screen, door, reference, ends or (), words, timeout, dry_run=dry_run))


@app.command(cls=ReadableCommand)
@spread
def show(door: DoorWords, reference: Lease = None, key: Key = None) -> None:
    """Show how a path stands, its ports and VLANs, and what its sites have not set up."""
    from iri_common.cli.paths import show as do_show

    screen = Screen(door.json)
    ended(screen, lambda: do_show(screen, door, reference, key))


@app.command("list", cls=ReadableCommand)
@spread
def list_(
    door: DoorWords,
    profiles: Annotated[
        bool, typer.Option("--profiles", metavar="", help="What the network's operators describe instead.")
    ] = False,
) -> None:
    """List the paths that are on record here."""
    from iri_common.cli.paths import listed, listed_profiles

    screen = Screen(door.json)
    ended(screen, lambda: listed_profiles(screen, door) if profiles else listed(screen, door))


@app.command(cls=ReadableCommand)
@spread
def close(door: DoorWords, references: Leases = None, key: Key = None, timeout: Timeout = None) -> None:
    """Give paths back, and wait until their sites are clean."""
    from iri_common.cli.paths import close as do_close

    screen = Screen(door.json)
    ended(screen, lambda: do_close(screen, door, references or (), key, timeout))
