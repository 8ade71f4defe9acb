"""The commands of ``iri``: their options and help. What they do is loaded when one of them runs."""

from __future__ import annotations

from typing import Annotated

import typer

from iri_common.cli.audit_app import app as audit
from iri_common.cli.data_app import app as data
from iri_common.cli.exits import table
from iri_common.cli.flow_app import app as flow
from iri_common.cli.github_app import app as github
from iri_common.cli.globus_app import app as globus
from iri_common.cli.guarded import ended
from iri_common.cli.lease_app import app as lease
from iri_common.cli.login_app import app as login
from iri_common.cli.options import (
    AskWords,
    Command,
    DoorWords,
    Follow,
    JobWords,
    KeyText,
    Lines,
    Reference,
    References,
    ResourceName,
    Timeout,
)
from iri_common.cli.path_app import app as path
from iri_common.cli.speak import Screen
from iri_common.cli.spread import ReadableCommand, spread
from iri_common.cli.stream_app import app as stream

_EXITS = "Exit codes:\n\n\b\n" + table()
_RUNS = {"allow_interspersed_args": False}  # what follows the command is the command's

app = typer.Typer(
    help="Jobs at HPC facilities: asked for once, run once, and the truth about them.",
    epilog=_EXITS,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
_begin, _tend, _look, _around = "Run", "Jobs", "Facilities", "Around jobs"


@app.callback(invoke_without_command=True)
def iri(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version.")] = False,
) -> None:
    """Jobs at HPC facilities: asked for once, run once, and the truth about them."""
    if version:
        from iri_common import __version__

        typer.echo(f"iri {__version__}")
        raise typer.Exit


@app.command(cls=ReadableCommand, rich_help_panel=_look)
@spread
def doctor(
    door: DoorWords,
    resource: ResourceName = None,
    hello: Annotated[
        bool,
        typer.Option("--hello", metavar="", help="Run a job of a second, too, and read back what it wrote."),
    ] = False,
    timeout: Timeout = "300",
) -> None:
    """Check a facility from here: profile, network, token, resources, grades; what is wrong, what to do."""
    from iri_common.cli.doctor import examine

    screen = Screen(door.json)
    ended(screen, lambda: examine(screen, door, resource, hello=hello, timeout=timeout))


@app.command(cls=ReadableCommand, rich_help_panel=_begin, context_settings=_RUNS)
@spread
def run(
    door: DoorWords,
    job: JobWords,
    ask: AskWords,
    command: Command = None,
    timeout: Timeout = None,
    lines: Lines = 20,
    follow: Follow = False,
    put: Annotated[
        list[str] | None,
        typer.Option(metavar="HERE:THERE", help="Upload a file before.", show_default=False),
    ] = None,
    get: Annotated[
        list[str] | None,
        typer.Option(metavar="THERE:HERE", help="Download a file after.", show_default=False),
    ] = None,
    propagate: Annotated[
        bool, typer.Option("--propagate", metavar="", help="Exit with the job's own code where it is known.")
    ] = False,
    cancel_on_interrupt: Annotated[
        bool,
        typer.Option(
            "--cancel-on-interrupt",
            metavar="",
            help="Ctrl-C and SIGTERM cancel the job; without, it is left alone.",
        ),
    ] = False,
) -> None:
    """Submit a job, wait for its end, show what it wrote last, or with --follow all of it as it comes.

    Ctrl-C leaves the job and prints the line that comes back to it.
    """
    from iri_common.cli.running import RunWords
    from iri_common.cli.running import run as do_run

    words = RunWords(timeout, lines, put or (), get or (), propagate, cancel_on_interrupt, follow)
    screen = Screen(door.json)
    ended(screen, lambda: do_run(screen, door, job, ask, words, command or ()))


@app.command(cls=ReadableCommand, rich_help_panel=_begin, context_settings=_RUNS)
@spread
def submit(door: DoorWords, job: JobWords, ask: AskWords, command: Command = None) -> None:
    """Submit a job and print its reference at once."""
    from iri_common.cli.running import submit as do_submit

    screen = Screen(door.json)
    ended(screen, lambda: do_submit(screen, door, job, ask, command or ()))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def wait(
    door: DoorWords, references: References = None, key: KeyText = None, timeout: Timeout = None
) -> None:
    """Wait for the end of jobs; exits like iri run."""
    from iri_common.cli.tending import wait as do_wait

    screen = Screen(door.json)
    ended(screen, lambda: do_wait(screen, door, references or (), key, timeout))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def logs(
    door: DoorWords,
    reference: Reference = None,
    key: KeyText = None,
    stderr: Annotated[
        bool, typer.Option("--stderr", metavar="", help="Standard error instead of output.")
    ] = False,
    lines: Lines = 20,
    follow: Follow = False,
    index: Annotated[
        int | None, typer.Option("--index", min=0, metavar="N", help="Of an array, this task's.")
    ] = None,
) -> None:
    """Show the last lines that a job wrote, or with --follow both streams until the job ends."""
    screen = Screen(door.json)
    if follow:
        from iri_common.cli.following import logs as do_follow

        ended(screen, lambda: do_follow(screen, door, reference, key, stderr=stderr, index=index))

    from iri_common.cli.tending import logs as do_logs

    stream = "stderr" if stderr else "stdout"
    ended(screen, lambda: do_logs(screen, door, reference, key, stream, lines, index=index))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def cancel(
    door: DoorWords, references: References = None, key: KeyText = None, resource: ResourceName = None
) -> None:
    """End jobs; with --key, whatever was asked for under it, even if nobody knows whether it arrived."""
    from iri_common.cli.tending import cancel as do_cancel

    screen = Screen(door.json)
    ended(screen, lambda: do_cancel(screen, door, references or (), key, resource))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def jobs(
    door: DoorWords,
    resource: ResourceName = None,
    every: Annotated[bool, typer.Option("--all", "-a", metavar="", help="Also those that ended.")] = False,
) -> None:
    """List the jobs of all my keys, whichever engine asked; orphans are marked."""
    from iri_common.cli.listing import jobs as do_jobs

    screen = Screen(door.json)
    ended(screen, lambda: do_jobs(screen, door, resource, every=every))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def adopt(
    door: DoorWords,
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The facility's id of the job.")],
    key: Annotated[str, typer.Option("--key", metavar="SEG/SEG…", help="The identity it shall belong to.")],
    resource: ResourceName = None,
) -> None:
    """Take a job that is at the facility as the job of a key."""
    from iri_common.cli.tending import adopt as do_adopt

    screen = Screen(door.json)
    ended(screen, lambda: do_adopt(screen, door, job_id, key, resource))


@app.command(cls=ReadableCommand, rich_help_panel=_tend)
@spread
def clean(
    door: DoorWords,
    resource: ResourceName = None,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only of jobs that ended so long ago.")
    ] = 7,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Show what would be removed.")
    ] = False,
) -> None:
    """Remove the guard directories of ended jobs, and their records here."""
    from iri_common.cli.tending import clean as do_clean

    screen = Screen(door.json)
    ended(screen, lambda: do_clean(screen, door, resource, older_than, dry_run=dry_run))


@app.command(cls=ReadableCommand, rich_help_panel=_look)
def facilities(
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")] = False,
) -> None:
    """List the profiles there are."""
    from iri_common.cli.listing import facilities as do_facilities

    screen = Screen(as_json)
    ended(screen, lambda: do_facilities(screen))


@app.command(cls=ReadableCommand, rich_help_panel=_look)
def whoami(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FACILITY]…", help="Profiles to ask; all of them by default.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")] = False,
) -> None:
    """Show in whose name each profile acts, how its credential stands, and what mends it."""
    from iri_common.cli.whoami import whoami as do_whoami

    screen = Screen(as_json)
    ended(screen, lambda: do_whoami(screen, names or ()))


@app.command(cls=ReadableCommand, rich_help_panel=_look)
def select(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FACILITY]…",
            help="Profiles to choose among; all of them by default.",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", help="Nodes of the job.")] = 1,
    time: Annotated[
        str | None, typer.Option("--time", "-t", metavar="TIME", help="Its wall time: seconds or H:MM:SS.")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", metavar="", help="Also facilities of different enclaves together.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")] = False,
) -> None:
    """Rank facilities for a job by what they tell, each with the reasons; closed ones last."""
    from iri_common.cli.selecting import select as do_select

    screen = Screen(as_json)
    ended(screen, lambda: do_select(screen, names or (), nodes, time, mixed=mixed))


app.add_typer(login)
app.add_typer(audit)
app.add_typer(data)
app.add_typer(flow, rich_help_panel=_around)
app.add_typer(path, rich_help_panel=_around)
app.add_typer(lease, rich_help_panel=_around)
app.add_typer(stream, rich_help_panel=_around)
app.add_typer(globus, rich_help_panel=_look)
app.add_typer(github, rich_help_panel=_look)
