"""The commands of ``iri`` for files: their options and help. What they do is loaded when one of them runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import DoorWords, RoadWords
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread

app = typer.Typer()
_data = "Data"

Place = Annotated[
    str,
    typer.Argument(metavar="WHERE", help="iri://profile/resource/path, or an absolute path with --facility."),
]
Places = Annotated[
    list[str],
    typer.Argument(metavar="WHERE…", help="iri://profile/resource/path, or absolute paths with --facility."),
]

Json = Annotated[
    bool, typer.Option("--json", metavar="", help="One JSON document on stdout, words on stderr.")
]
_END = "A path here, iri://profile/resource/path, or globus://collection/path"


def _flag(*flags: str, help: str) -> Any:
    return typer.Option(*flags, metavar="", help=help)


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def ls(
    door: DoorWords,
    where: Place,
    long: Annotated[bool, _flag("--long", "-l", help="Mode, owner, size and time, too.")] = False,
    recursive: Annotated[bool, _flag("--recursive", "-R", help="Everything below it.")] = False,
    every: Annotated[bool, _flag("--all", "-a", help="Also names that begin with a dot.")] = False,
) -> None:
    """List files at a facility, or in a Globus collection."""
    from iri_common.cli.files import ls as do_ls

    screen = Screen(door.json)
    ended(screen, lambda: do_ls(screen, door, where, long=long, recursive=recursive, every=every))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def cat(door: DoorWords, where: Places) -> None:
    """Write files at a facility to stdout, byte for byte."""
    from iri_common.cli.files import cat as do_cat

    screen = Screen(door.json)
    ended(screen, lambda: do_cat(screen, door, where))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def get(
    door: DoorWords,
    words: RoadWords,
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC…",
            help="Files, directories, patterns in quotes: iri://profile/resource/path, or absolute paths "
            "with --facility.",
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Here; into it if it ends in a slash, or is '.'.")
    ],
) -> None:
    """Fetch files from a facility, each whole or not at all."""
    from iri_common.cli.copying import get as do_get

    screen = Screen(door.json)
    ended(screen, lambda: do_get(screen, door, words, source, target))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def put(
    door: DoorWords,
    words: RoadWords,
    source: Annotated[list[str], typer.Argument(metavar="SRC…", help="Files, directories, patterns here.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="iri://profile/resource/path, or an absolute path with --facility; into it if it ends in a "
            "slash.",
        ),
    ],
) -> None:
    """Send files to a facility, each whole or not at all."""
    from iri_common.cli.copying import put as do_put

    screen = Screen(door.json)
    ended(screen, lambda: do_put(screen, door, words, source, target))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def sync(
    words: RoadWords,
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"{_END}.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Becomes like it: likewise.")],
    delete: Annotated[
        bool, _flag("--delete", help="Remove what is below DST and not in SRC, when all has arrived.")
    ] = False,
    dry_run: Annotated[bool, _flag("--dry-run", help="Show what would change; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Copy what has changed between any two places."""
    from iri_common.cli.copying import sync as do_sync

    screen = Screen(as_json)
    ended(screen, lambda: do_sync(screen, words, source, target, delete=delete, dry_run=dry_run))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def cp(
    words: RoadWords,
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"{_END}.")],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Likewise; into it if it ends in a slash, or is '.'.")
    ],
    as_json: Json = False,
) -> None:
    """Copy between any two places; between facilities without this machine where they can."""
    from iri_common.cli.copying import cp as do_cp

    screen = Screen(as_json)
    ended(screen, lambda: do_cp(screen, words, source, target))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def rm(
    door: DoorWords,
    where: Places,
    recursive: Annotated[
        bool, _flag("--recursive", "-r", help="Directories, too, with all that is in them.")
    ] = False,
) -> None:
    """Remove files at a facility; names are taken literally."""
    from iri_common.cli.files import rm as do_rm

    screen = Screen(door.json)
    ended(screen, lambda: do_rm(screen, door, where, recursive=recursive))


@app.command(cls=ReadableCommand, rich_help_panel=_data)
@spread
def mkdir(
    door: DoorWords,
    where: Places,
    parents: Annotated[
        bool, _flag("--parents", "-p", help="Those above it, too; it may be there already.")
    ] = False,
) -> None:
    """Make directories at a facility."""
    from iri_common.cli.files import mkdir as do_mkdir

    screen = Screen(door.json)
    ended(screen, lambda: do_mkdir(screen, door, where, parents=parents))
