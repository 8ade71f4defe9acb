"""The commands under ``iri flow``: runs of flows at Globus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from iri_common.cli.guarded import ended
from iri_common.cli.options import Timeout
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread

app = typer.Typer(name="flow", help="Runs of flows at Globus.", no_args_is_help=True)

Json = Annotated[
    bool, typer.Option("--json", metavar="", help="One JSON document on stdout, words on stderr.")
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Its id, as iri flow start prints it.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids, as iri flow start prints them.")]
_RUN = "The run"


def _run(*flags: str, help: str, metavar: str = "") -> Any:
    return typer.Option(*flags, help=help, metavar=metavar, show_default=False, rich_help_panel=_RUN)


@dataclass(frozen=True, slots=True)
class FlowWords:
    """What is asked of a flow, in the words of a shell."""

    body: Annotated[
        str | None, _run("--input", "-i", metavar="FILE", help="Its input in JSON (- is stdin); else {}.")
    ] = None
    setting: Annotated[
        list[str] | None,
        _run("--set", "-s", metavar="NAME=VALUE", help="A word of the input; JSON, or else a text."),
    ] = None
    key: Annotated[
        str | None,
        _run("--key", metavar="SEG/SEG…", help="Who asks: asked again under this key, it is the same run."),
    ] = None
    label: Annotated[str, _run(metavar="TEXT", help="For people; the key is added to it.")] = ""
    tag: Annotated[list[str] | None, _run(metavar="TEXT", help="For people.")] = None
    wait: Annotated[bool, _run("--wait", help="Until it is over.")] = False
    dry_run: Annotated[bool, _run("--dry-run", help="Show what would be asked for; send nothing.")] = False


@app.callback()
def flow() -> None:
    """Runs of flows at Globus."""


@app.command(cls=ReadableCommand)
@spread
def start(
    words: FlowWords,
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="The flow's id.")],
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Start a flow once, and print the id of its run."""
    from iri_common.cli.flows import start as do_start

    screen = Screen(as_json)
    ended(screen, lambda: do_start(screen, flow, words, timeout))


@app.command(cls=ReadableCommand)
def wait(runs: Runs, timeout: Timeout = None, as_json: Json = False) -> None:
    """Wait until runs are over; the first that did not succeed gives the exit code."""
    from iri_common.cli.flows import wait as do_wait

    screen = Screen(as_json)
    ended(screen, lambda: do_wait(screen, runs, timeout))


@app.command(cls=ReadableCommand)
def show(run: Run, as_json: Json = False) -> None:
    """Show how a run stands, what it waits for, and what came of it."""
    from iri_common.cli.flows import show as do_show

    screen = Screen(as_json)
    ended(screen, lambda: do_show(screen, run))


@app.command("list", cls=ReadableCommand)
def list_(as_json: Json = False) -> None:
    """List the runs that are on record here."""
    from iri_common.cli.flows import listed

    screen = Screen(as_json)
    ended(screen, lambda: listed(screen))


@app.command(cls=ReadableCommand)
def log(
    run: Run,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=100, metavar="N", help="How many of the last.")
    ] = 100,
    as_json: Json = False,
) -> None:
    """Show the log of a run."""
    from iri_common.cli.flows import log as do_log

    screen = Screen(as_json)
    ended(screen, lambda: do_log(screen, run, lines))


@app.command(cls=ReadableCommand)
def resume(run: Run, as_json: Json = False) -> None:
    """Have a run that waits for a consent go on."""
    from iri_common.cli.flows import act

    screen = Screen(as_json)
    ended(screen, lambda: act(screen, "resume", [run]))


@app.command(cls=ReadableCommand)
def cancel(runs: Runs, as_json: Json = False) -> None:
    """End runs; one that is over already is fine."""
    from iri_common.cli.flows import act

    screen = Screen(as_json)
    ended(screen, lambda: act(screen, "cancel", runs))


@app.command(cls=ReadableCommand)
def release(runs: Runs, as_json: Json = False) -> None:
    """Have Globus forget runs that are over, with their logs and output."""
    from iri_common.cli.flows import act

    screen = Screen(as_json)
    ended(screen, lambda: act(screen, "release", runs))
