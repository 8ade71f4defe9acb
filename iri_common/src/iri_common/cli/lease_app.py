"""The commands under ``iri lease``: a path through a network and nodes at a facility, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import DoorWords
from iri_common.cli.path_app import Ends, PathWords, Timeout
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread

app = typer.Typer(name="lease", help="A path and nodes, leased together.", no_args_is_help=True)

Network = Annotated[str, typer.Option(metavar="PROFILE", help="Profile of the network (SENSE).")]
Key = Annotated[str, typer.Option("--key", metavar="SEG/SEG…", help="Who asks: the lease is found by it.")]


def _nodes(*flags: str, help: str, metavar: str = "", **others: Any) -> Any:
    return typer.Option(*flags, help=help, metavar=metavar, rich_help_panel="The nodes", **others)


@dataclass(frozen=True, slots=True)
class NodeWords:
    """Nodes, in the words of a shell."""

    nodes: Annotated[int, _nodes(metavar="N", help="How many.")] = 1
    time: Annotated[str, _nodes("--time", "-t", metavar="TIME", help="For how long.")] = "1:00:00"
    queue: Annotated[
        str | None,
        _nodes("--queue", "-q", metavar="NAME", help="Whose nodes; else the default.", show_default=False),
    ] = None
    account: Annotated[
        str | None,
        _nodes("--account", "-A", metavar="NAME", help="Whose jobs; else your own.", show_default=False),
    ] = None


@app.callback()
def lease() -> None:
    """A path and nodes, leased together."""


@app.command(cls=ReadableCommand)
@spread
def plan(door: DoorWords, nodes: NodeWords, path: PathWords, network: Network, ends: Ends = None) -> None:
    """Ask what there is of both; nothing is kept."""
    from iri_common.cli.leases import plan as do_plan

    screen = Screen(door.json)
    ended(screen, lambda: do_plan(screen, door, network, nodes, path, ends or ()))


@app.command("set-up", cls=ReadableCommand)
@spread
def set_up(
    door: DoorWords,
    nodes: NodeWords,
    path: PathWords,
    network: Network,
    key: Key,
    ends: Ends = None,
    timeout: Timeout = None,
) -> None:
    """Have both or neither, wait until they are ready, print the reservation for iri run --reservation."""
    from iri_common.cli.leases import set_up as do_set_up

    screen = Screen(door.json)
    ended(screen, lambda: do_set_up(screen, door, network, nodes, path, ends or (), key, timeout))


@app.command(cls=ReadableCommand)
@spread
def show(door: DoorWords, network: Network, key: Key) -> None:
    """Show how both stand; a lease whose time is over is given back."""
    from iri_common.cli.leases import show as do_show

    screen = Screen(door.json)
    ended(screen, lambda: do_show(screen, door, network, key))


@app.command("list", cls=ReadableCommand)
@spread
def list_(door: DoorWords, network: Network) -> None:
    """List the leases that are on record here; those whose time is over are given back."""
    from iri_common.cli.leases import listed

    screen = Screen(door.json)
    ended(screen, lambda: listed(screen, door, network))


@app.command(cls=ReadableCommand)
@spread
def release(door: DoorWords, network: Network, key: Key, timeout: Timeout = None) -> None:
    """Give both back, whatever there is of them, and wait until they are."""
    from iri_common.cli.leases import release as do_release

    screen = Screen(door.json)
    ended(screen, lambda: do_release(screen, door, network, key, timeout))
