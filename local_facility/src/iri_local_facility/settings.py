"""Everything about a facility that can be chosen when it starts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
_FILE_OPERATIONS = (
    "chmod chown file stat mkdir symlink ls head view tail checksum rm compress extract mv cp download upload"
)
# What a facility can be without.
FEATURES = frozenset({*_FILE_OPERATIONS.split(), "filesystem", "stdout_path", "output_paths", "slurmdb"})
# The versions of Slurm's REST API, by the last part of their numbers.
SLURM_VERSIONS = (38, 40, 41, 42, 43, 44)


@dataclass(frozen=True)
class Queue:
    """A queue and its limits."""

    name: str
    max_nodes: int
    max_duration: int


@dataclass(frozen=True)
class Settings:
    """One facility: its place on disk, its size and its people.

    Attributes:
        root: Directory that holds all of it; user-visible paths are real paths below it.
        nodes: Node slots of the compute resource.
        default_duration: Wall time in seconds of a job that asks for none.
        kill_grace: Seconds between SIGTERM and SIGKILL.
        submit_delay: Seconds the scheduler takes to accept a job, to rehearse slow submission.
        key_lock: Seconds that an idempotency key is under way when its request died with the server.
        token_lifetime: Lifetime in seconds of tokens from the token endpoint.
        size_limit: Most bytes that upload, view and download move.
        users: Users and the projects each belongs to; the first user is the default one.
        without: What this facility does not offer: file operations by name, ``filesystem`` for all of them,
            ``stdout_path`` for the paths that a job asks its output to go to, ``output_paths`` for telling
            where it went, ``slurmdb`` for Slurm's accounting.
        site: Whose oddities its IRI API has.
        s3: Endpoint URL, bucket and region of the object store that it announces.
        collections: Further Globus collections by name: directories that are no part of the facility.
        collection_root: The directory that the facility's own collection shows as ``/``.
        data_access: Whether that collection asks for a consent of its own.
        high_assurance: Whether it asks for a login instead.
        rotate_refresh_tokens: Whether Globus Auth gives a new refresh token at each refresh.
        firecrest_scheduler: Whose words FirecREST passes on: ``slurm`` or ``pbs``.
        firecrest_min_token_ttl: Seconds that a token must have left for FirecREST.
        firecrest_transfer_poll: Seconds between the looks of an upload's job at the object store.
        firecrest_part_size: Bytes of each part of a file that passes through the store.
        firecrest_account: Whether its transfers must say who pays for their jobs.
        superfacility_delay: Seconds before a task of the Superfacility API is worked on.
        superfacility_retention: Seconds that such a task is known after its end.
        superfacility_cache: Seconds that its cached picture of the queue may be old.
        sense_step: Seconds that each phase of a network path takes.
        stream_setup: Seconds until a cluster of message brokers can be used.
        slurm_versions: The versions of Slurm's REST API that are there, by the last part of their numbers.
        slurm_min_job_age: Seconds that slurmctld remembers a job after its end.
        slurm: Configuration of a real Slurm that runs the jobs in place of the facility itself.
    """

    root: Path
    name: str = "local"
    nodes: int = 4
    default_duration: int = 600
    kill_grace: float = 2.0
    submit_delay: float = 0.0
    key_lock: float = 60.0
    token_lifetime: float = 3600.0
    size_limit: int = 5 * MIB
    users: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"alice": ("demo", "beamline"), "bob": ("demo",)}
    )
    without: frozenset[str] = frozenset()
    site: str | None = None
    s3: tuple[str, str, str] | None = None
    collections: dict[str, Path] = field(default_factory=dict[str, Path])
    collection_root: Path | None = None
    data_access: bool = False
    high_assurance: bool = False
    rotate_refresh_tokens: bool = False
    firecrest_scheduler: str = "slurm"
    firecrest_min_token_ttl: float = 30.0
    firecrest_transfer_poll: float = 60.0
    firecrest_part_size: int = 64 * MIB
    firecrest_account: bool = False
    superfacility_delay: float = 0.05
    superfacility_retention: float = 600.0
    superfacility_cache: float = 5.0
    sense_step: float = 0.5
    stream_setup: float = 0.0
    slurm_versions: tuple[int, ...] = SLURM_VERSIONS
    slurm_min_job_age: float = 300.0
    slurm: Path | None = None

    @property
    def state(self) -> Path:
        """The facility's own files: database, job scripts, server log. Users cannot reach it."""
        return self.root / ".facility"

    @property
    def tools(self) -> Path:
        """Programs that batch jobs find in front of their PATH."""
        return self.state / "tools"

    @property
    def default_user(self) -> str:
        """Who a token is for when nobody is named."""
        return next(iter(self.users))

    @property
    def projects(self) -> list[str]:
        """All projects, in a stable order."""
        return sorted({project for projects in self.users.values() for project in projects})

    @property
    def node_names(self) -> list[str]:
        """The nodes of the compute resource; each is one slot."""
        return [f"node{number}" for number in range(1, self.nodes + 1)]

    @property
    def queues(self) -> dict[str, Queue]:
        """The queues; jobs that name none go to ``regular``."""
        return {
            "regular": Queue("regular", self.nodes, 24 * 3600),
            "debug": Queue("debug", math.ceil(self.nodes / 2), 1800),
        }

    def make_directories(self) -> None:
        """Create the areas of all users and projects, and the state directory."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        for user in self.users:
            (self.root / "home" / user).mkdir(parents=True, exist_ok=True)
            (self.root / "scratch" / user).mkdir(parents=True, exist_ok=True)
        for project in self.projects:
            (self.root / "project" / project).mkdir(parents=True, exist_ok=True)


def default_root() -> Path:
    """Where a facility lives when nobody says: the user's state directory."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "iri-local-facility"
