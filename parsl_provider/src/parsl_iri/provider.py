"""``FacilityProvider``: Parsl's blocks as jobs at an HPC facility, through its API."""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import re
import shlex
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from parsl.jobs.states import JobState
from parsl.launchers import SingleNodeLauncher
from parsl.launchers.base import Launcher
from parsl.launchers.errors import BadLauncher
from parsl.providers.base import ExecutionProvider
from parsl.utils import RepresentationMixin

from iri_common import Facility, JobAttributes, JobKey, JobSpec, ResourceSpec, UsageError
from parsl_iri.blocks import Ask, Block
from parsl_iri.states import FacilityJobStatus

log = logging.getLogger("parsl.providers.iri")  # a child of "parsl", or it would not be in parsl.log

GIB = 1024**3
ONE_NODE = SingleNodeLauncher()


class FacilityProvider(ExecutionProvider, RepresentationMixin):
    """Runs the blocks of an executor as jobs at a facility. Nothing of it runs on a login node.

    The parameters are called as those of Parsl's own providers. ``submit`` and ``status`` never wait for the
    facility: blocks are submitted and watched in the background, over outages, and all of them together
    cost the requests of one.

    Example:
        >>> FacilityProvider("nersc", account="m1234", queue="debug", walltime="00:30:00", max_blocks=4)

    Args:
        facility: Name of a profile, or a Facility. Never a token: Parsl logs its configuration.
        resource: Name or id of the machine; the profile's if None.
        account: To charge; the profile's if None.
        queue: To wait in; the profile's if None.
        walltime: Of one block, "HH:MM:SS".
        nodes_per_block: Nodes of one block.
        cores_per_node: To ask for, and what executors count workers by; None for what the node has.
        mem_per_node: As ``cores_per_node``, in GB.
        init_blocks: At the start.
        min_blocks: The fewest.
        max_blocks: The most.
        parallelism: Slots for each task that waits, 0 to 1.
        worker_init: Shell text before the workers; bash reads it, but not as a login shell.
        launcher: Starts the workers on the nodes of a block.
        directory: At the facility, where blocks run and their output goes; must exist. The profile's if None.
        custom_attributes: For the facility's scheduler, in its own words.
        submit_retry_time: Seconds during which a block is submitted again if the facility does not answer;
            after them, the block has failed.
        cmd_timeout: Seconds that ``cancel`` waits for the facility's word.
        status_polling_interval: Seconds between Parsl's looks at ``status``. How often the facility is asked
            is the profile's ``poll_seconds``.

    Raises:
        BadLauncher: if the launcher is none of Parsl's.
        UsageError: for whatever else makes no sense, before anything is sent.
    """

    def __init__(
        self,
        facility: str | Facility,
        *,
        resource: str | None = None,
        account: str | None = None,
        queue: str | None = None,
        walltime: str = "00:10:00",
        nodes_per_block: int = 1,
        cores_per_node: int | None = None,
        mem_per_node: float | None = None,
        init_blocks: int = 1,
        min_blocks: int = 0,
        max_blocks: int = 1,
        parallelism: float = 1,
        worker_init: str = "",
        launcher: Launcher = ONE_NODE,
        directory: str | None = None,
        custom_attributes: Mapping[str, str] | None = None,
        submit_retry_time: float = 600,
        cmd_timeout: float = 30,
        status_polling_interval: float = 5,
    ) -> None:
        # Parsl's repr and its usage tracking read every argument back from an attribute of its name.
        self.facility = facility
        self.resource = resource
        self.account = account
        self.queue = queue
        self.walltime = walltime
        self.nodes_per_block = nodes_per_block
        self.cores_per_node = cores_per_node
        self.mem_per_node = mem_per_node
        self.init_blocks = init_blocks
        self.min_blocks = min_blocks
        self.max_blocks = max_blocks
        self.parallelism = parallelism
        self.worker_init = worker_init
        self.launcher = launcher
        self.directory = directory
        self.custom_attributes = custom_attributes
        self.submit_retry_time = submit_retry_time
        self.cmd_timeout = cmd_timeout
        self._status_polling_interval = status_polling_interval
        self._check()
        self._facility = facility if isinstance(facility, Facility) else Facility.from_profile(facility)
        self.job_spec(
            self.job_script(), "parsl"
        )  # what no job can be asked with is refused here, not at the first block
        self.script_dir: str | None = None  # Parsl sets it; a path of this machine, so no job knows it
        self.resources: dict[object, Block] = {}
        self._run = uuid.uuid4().hex
        self._numbers = itertools.count()

    @property
    def label(self) -> str:
        """What Parsl calls the provider."""
        return "iri"

    @property
    def status_polling_interval(self) -> float:  # type: ignore[override]
        """Seconds between Parsl's looks at :meth:`status`."""
        return self._status_polling_interval

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> str:
        """Ask for a block, in the background; gives the name of its job at once."""
        name = re.sub(r"[^\w.-]", "-", job_name)
        key = JobKey.of("parsl", self._run, job_name, next(self._numbers))
        # Launchers name their helper files after the job: block 0 of two runs may share a directory.
        spec = self.job_spec(self.job_script(command, tasks_per_node, key.job_name(name)), name)
        walltime = _seconds(self.walltime)
        block = Block(self._facility, Ask(spec, self.resource, key, walltime, self.submit_retry_time))
        self.resources[block.id] = block
        block.start()
        return block.id

    def status(self, job_ids: Sequence[object]) -> list[FacilityJobStatus]:
        """What is known of these blocks; makes no request, never raises, and never says "unknown"."""
        return [
            block.status() if (block := self.resources.get(job_id)) else _stranger(job_id)
            for job_id in job_ids
        ]

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """End these blocks, also those that are not submitted yet or are on their way.

        Waits ``cmd_timeout`` seconds at most; False for those that the facility has not confirmed by then,
        which are tried further in the background.
        """
        asked = {block: block.cancel() for each in job_ids if (block := self.resources.get(each))}
        done = concurrent.futures.wait(asked.values(), timeout=self.cmd_timeout).done
        confirmed = {
            block.id: future in done and not future.exception() and future.result()
            for block, future in asked.items()
        }
        for block in asked:
            if not confirmed[block.id]:
                log.warning(
                    "%s is not cancelled yet (%s); it may run on", block.id, block.ref or "on its way"
                )
        return [confirmed.get(str(each), False) for each in job_ids]

    def job_script(
        self,
        command: str = "process_worker_pool.py ...",
        tasks_per_node: int = 1,
        job_name: str = "parsl.auto",
    ) -> str:
        """The shell script of a block, for people to look at: what bash would be given at the facility."""
        lines = [self.worker_init] if self.worker_init else []
        if self.cores_per_node is not None:
            lines.append(f"export PARSL_CORES={self.cores_per_node}")
        if self.mem_per_node is not None:
            lines.append(f"export PARSL_MEMORY_GB={self.mem_per_node}")
        lines.append(f"export JOBNAME={shlex.quote(job_name)}")
        # Some launchers write helper files; "." is the block's directory at the facility.
        lines.append(self.launcher(command, tasks_per_node, self.nodes_per_block, self.directory or "."))
        return "\n".join(lines)

    def job_spec(self, script: str, name: str) -> JobSpec:
        """The job that runs a block's script, as the facility is asked for it.

        Raises:
            UsageError: if there can be no such job.
        """
        cores, memory = self.cores_per_node, self.mem_per_node
        return JobSpec(
            executable="/bin/bash",
            arguments=("-c", script),
            name=name,
            directory=self.directory,
            resources=ResourceSpec(
                node_count=self.nodes_per_block,
                processes_per_node=None if cores is None else 1,
                cpu_cores_per_process=cores,
                # By PSI/J, where the word comes from, the memory is that of the whole job.
                memory=None if memory is None else int(memory * GIB) * self.nodes_per_block,
            ),
            attributes=JobAttributes(
                duration=_seconds(self.walltime),
                queue_name=self.queue,
                account=self.account,
                custom_attributes=dict(self.custom_attributes or {}),
            ),
        )

    def _check(self) -> None:
        if not isinstance(self.launcher, Launcher):
            raise BadLauncher(self.launcher)
        if not isinstance(self.facility, str | Facility):
            raise UsageError(
                f"facility is the name of a profile or a Facility, not {type(self.facility).__name__}"
            )
        if not isinstance(self.worker_init, str):
            raise UsageError(f"worker_init is shell text, not {type(self.worker_init).__name__}")
        if "array" in (self.custom_attributes or {}):
            raise UsageError("a block is one job, and no array: Parsl asks for more blocks up to max_blocks")
        _seconds(self.walltime)
        for name in ("init_blocks", "min_blocks", "max_blocks"):
            _number(name, getattr(self, name), whole=True)
        if not self.min_blocks <= self.max_blocks or self.init_blocks > self.max_blocks:
            raise UsageError(
                f"max_blocks is {self.max_blocks}: neither min_blocks ({self.min_blocks}) nor init_blocks "
                f"({self.init_blocks}) can be more"
            )
        _number("nodes_per_block", self.nodes_per_block, whole=True, above=0)
        _number("parallelism", self.parallelism)
        if self.cores_per_node is not None:
            _number("cores_per_node", self.cores_per_node, whole=True, above=0)
        if self.mem_per_node is not None:
            _number("mem_per_node", self.mem_per_node, above=0)
        for name in ("submit_retry_time", "cmd_timeout"):
            _number(name, getattr(self, name))
        # Parsl never scales an executor whose provider it need not look at.
        _number("status_polling_interval", self.status_polling_interval, above=0)


def _number(name: str, value: Any, *, whole: bool = False, above: float | None = None) -> None:
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not (value >= 0 if above is None else value > above):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} is {kind} {'of at least 0' if above is None else 'above 0'}, not {value!r}")


def _seconds(walltime: str) -> int:
    match = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", walltime) if isinstance(walltime, str) else None
    hours, minutes, seconds = map(int, match.groups()) if match else (0, 0, 0)
    if not (total := hours * 3600 + minutes * 60 + seconds):
        raise UsageError(f'walltime is the time of one block as "HH:MM:SS", not {walltime!r}')
    return total


def _stranger(job_id: object) -> FacilityJobStatus:
    return FacilityJobStatus(JobState.FAILED, f"{job_id} is no block of this provider")
