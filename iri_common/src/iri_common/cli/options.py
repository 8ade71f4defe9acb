"""The options that commands share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


def _panel(name: str) -> Any:
    def option(*flags: str, help: str, metavar: str = "", **others: Any) -> Any:
        words: dict[str, Any] = {"show_default": False, "rich_help_panel": name, **others}
        return typer.Option(*flags, help=help, metavar=metavar, **words)

    return option


_where = _panel("Facility and output")
_job = _panel("Job")
_needs = _panel("What the job needs")
_once = _panel("Once, and outages")
_road = _panel("How it is moved")

# Words that several commands take in the same meaning.
Reference = Annotated[
    str | None,
    typer.Argument(metavar="REF", help="A job, as iri submit prints it: iri+job://…", show_default=False),
]
References = Annotated[
    list[str] | None,
    typer.Argument(metavar="REF…", help="Jobs, as iri submit prints them.", show_default=False),
]
Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND",
        help="What to run, with its arguments; with --script, the script's. All options stand before it.",
        show_default=False,
    ),
]
ResourceName = Annotated[
    str | None,
    typer.Option(
        "--resource", "-r", metavar="NAME", help="Machine that runs the job.", show_default="the profile's"
    ),
]
Lines = Annotated[int, typer.Option("--lines", "-n", min=1, metavar="N", help="How many of the last lines.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-F", metavar="", help="Everything it writes, from the beginning, as it comes."),
]
KeyText = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="SEG/SEG…", help="The identity a job was asked for under.", show_default=False
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="Wait no longer: seconds or H:MM:SS.", show_default="no limit"
    ),
]


@dataclass(frozen=True, slots=True)
class DoorWords:
    """Which facility, and for whom the output is."""

    facility: Annotated[
        str | None,
        _where("--facility", "-f", metavar="PROFILE", help="Profile; else $IRI_FACILITY, else the only one."),
    ] = None
    url: Annotated[
        str | None, _where(metavar="URL", help="Without a profile: the API's address up to …/api/v2.")
    ] = None
    dialect: Annotated[
        str | None,
        _where(
            metavar="API",
            help="With --url: iri, superfacility, firecrest, slurm or sense.",
            show_default="iri",
        ),
    ] = None
    token_env: Annotated[
        str | None, _where(metavar="NAME", help="With --url: the variable that holds the token.")
    ] = None
    token_file: Annotated[
        str | None, _where(metavar="FILE", help="With --url: the file that holds it (mode 0600).")
    ] = None
    json: Annotated[bool, _where("--json", help="One JSON document on stdout, words on stderr.")] = False


@dataclass(frozen=True, slots=True)
class JobWords:
    """One job, in the words of a shell."""

    script: Annotated[
        Path | None,
        _job(metavar="FILE", help="Run this script (- is stdin); its #SBATCH or #PBS lines count."),
    ] = None
    spec: Annotated[
        Path | None, _job(metavar="FILE", help="A JobSpec in JSON or TOML; options are stronger.")
    ] = None
    name: Annotated[str | None, _job("--name", "-N", metavar="NAME", help="Name in the queue.")] = None
    directory: Annotated[
        str | None, _job("--directory", "-D", metavar="DIR", help="Directory to work in, there.")
    ] = None
    env: Annotated[
        list[str] | None,
        _job(
            "--env", "-e", metavar="NAME[=VALUE]", help="Environment; NAME alone takes its value from here."
        ),
    ] = None
    stdin: Annotated[str | None, _job("--stdin", metavar="PATH", help="File to read, there.")] = None
    stdout: Annotated[str | None, _job("--stdout", "-o", metavar="PATH", help="File to write.")] = None
    stderr: Annotated[str | None, _job("--stderr", metavar="PATH", help="File for errors.")] = None
    launcher: Annotated[str | None, _job(metavar="NAME", help="Parallel launcher: srun, mpiexec, …")] = None
    pre: Annotated[
        str | None, _job(metavar="SHELL", help="Shell text that runs before, such as module load.")
    ] = None
    post: Annotated[str | None, _job(metavar="SHELL", help="Shell text that runs after.")] = None
    container: Annotated[str | None, _job(metavar="IMAGE", help="Container image to run in.")] = None

    resource: Annotated[
        str | None, _needs("--resource", "-r", metavar="NAME", help="The machine; else the profile's.")
    ] = None
    nodes: Annotated[int | None, _needs(metavar="N", help="Nodes.")] = None
    processes: Annotated[int | None, _needs(metavar="N", help="Processes in all.")] = None
    processes_per_node: Annotated[int | None, _needs(metavar="N", help="Processes on each node.")] = None
    cpus: Annotated[int | None, _needs(metavar="N", help="CPU cores for each process.")] = None
    gpus: Annotated[int | None, _needs(metavar="N", help="GPUs for each process.")] = None
    memory: Annotated[str | None, _needs(metavar="SIZE", help="In bytes, or 512M, 4G, …")] = None
    exclusive: Annotated[bool | None, _needs("--exclusive/--shared", help="Whole nodes, or shared ones.")] = (
        None
    )
    time: Annotated[
        str | None, _needs("--time", "-t", metavar="TIME", help="Wall time: seconds or H:MM:SS.")
    ] = None
    queue: Annotated[str | None, _needs("--queue", "-q", metavar="NAME", help="Queue.")] = None
    account: Annotated[str | None, _needs("--account", "-A", metavar="NAME", help="Account to charge.")] = (
        None
    )
    reservation: Annotated[str | None, _needs(metavar="ID", help="Reservation.")] = None
    array: Annotated[
        str | None,
        _needs(metavar="INDICES", help="Once for each index: 0-9, 1,3,7, 0-20:4; 0-9%2 two at a time."),
    ] = None
    after: Annotated[
        list[str] | None,
        _needs(metavar="JOB", help="Begin when this job has succeeded: its id or reference."),
    ] = None
    attr: Annotated[
        list[str] | None,
        _needs(metavar="NAME=VALUE", help="The facility's own words, such as filesystems=home."),
    ] = None


@dataclass(frozen=True, slots=True)
class AskWords:
    """In whose name a job is asked for, and how hard to try."""

    key: Annotated[
        str | None,
        _once(metavar="SEG/SEG…", help="Who asks: asked again under this key, it is the same job."),
    ] = None
    again: Annotated[
        bool, _once("--again", help="A new job, though the key was used; a live one is cancelled.")
    ] = False
    no_guard: Annotated[
        bool, _once("--no-guard", help="Send the job as it is, without the guard against doubles.")
    ] = False
    on_outage: Annotated[
        str | None,
        _once(metavar="wait|fail|try", help="If the resource or its API is down."),
    ] = None
    outage_limit: Annotated[
        str | None, _once(metavar="TIME", help="Wait no longer for it: seconds or H:MM:SS.")
    ] = None
    dry_run: Annotated[bool, _once("--dry-run", help="Show the exact request; send nothing.")] = False


@dataclass(frozen=True, slots=True)
class RoadWords:
    """How data is moved, and what is shown of it."""

    plan: Annotated[bool, _road("--plan", help="Explain the roads there are; move nothing.")] = False
    road: Annotated[
        str | None, _road(metavar="NAME", help="Take this road, and no other: direct, chunks, globus, …")
    ] = None
    allow_job: Annotated[
        bool, _road("--allow-job", help="Roads that run a short job of my allocation are fine.")
    ] = False
    parallel: Annotated[int, _road(min=1, metavar="N", help="Files or parts at once; 4 if not said.")] = 4
    rate: Annotated[str | None, _road(metavar="SIZE", help="Bytes per second at most, such as 20M.")] = None
    checksum: Annotated[
        bool | None,
        _road(
            "--checksum/--no-checksum",
            help="Make SHA-256 also where a store tells none; or do not even compare it.",
            show_default=False,
        ),
    ] = None
    links: Annotated[
        str,
        _road(metavar="follow|skip", help="Links that lead out of a tree are refused, or skipped."),
    ] = "follow"
    parents: Annotated[
        bool, _road("--parents", help="Make the directory that a file is to lie in, and those above it.")
    ] = False
    quiet: Annotated[bool, _road("--quiet", "-q", help="No progress, no result in words.")] = False
