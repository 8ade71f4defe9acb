"""From a job request to what `/bin/sh` runs, and the environment it runs in."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from . import batch
from .accounts import User
from .jobs import Job, JobRequest

# Launchers of parallel programs: a laptop lacks the machines behind them, so the facility plays the part.
_PARALLEL = {"srun", "mpirun", "mpiexec", "aprun", "jsrun", "flux"}

# What a login gives, and no more: a job must not see the environment of whoever happens to run the server.
_LOGIN = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "SHELL", "TMPDIR", "LD_LIBRARY_PATH")

_COPIES = """\
iri_pids=
iri_rank=0
while [ "$iri_rank" -lt {count} ]; do
  IRI_PROCESS_ID=$iri_rank SLURM_PROCID=$iri_rank SLURM_NTASKS={count} {command} &
  iri_pids="$iri_pids $!"
  iri_rank=$((iri_rank + 1))
done
iri_code=0
for iri_pid in $iri_pids; do
  wait "$iri_pid" || iri_code=$?
done
"""


def job_script(request: JobRequest) -> str:
    """The shell script of a job: pre-launch commands, the program, post-launch commands.

    A program without any of the frills replaces the shell, so that signals reach it directly.
    """
    command = shlex.join([request.executable, *request.arguments])
    prefix = shlex.split(request.launcher) if request.launcher else []
    parallel = bool(prefix) and os.path.basename(prefix[0]) in _PARALLEL
    if prefix and not parallel:
        command = f"{shlex.join(prefix)} {command}"
    if not (request.pre_launch or request.post_launch or parallel):
        return f"exec {command}\n"
    run = (
        _COPIES.format(count=request.process_count, command=command)
        if parallel
        else f"{command}\niri_code=$?\n"
    )
    return (
        "trap 'iri_terminated=1' TERM\n"
        f"{request.pre_launch or ':'}\n"
        '[ -z "$iri_terminated" ] || exit 143\n'
        f"{run}"
        f"{request.post_launch or ':'}\n"
        'exit "$iri_code"\n'
    )


def login_environment(user: User, server: Mapping[str, str], path: str) -> dict[str, str]:
    """What a login gives."""
    return {
        **{name: server[name] for name in _LOGIN if name in server},
        "PATH": path,
        "HOME": str(user.areas.home),
        "SCRATCH": str(user.areas.scratch),
        "USER": user.name,
        "LOGNAME": user.name,
    }


def job_environment(job: Job, user: User, server: Mapping[str, str], path: str) -> dict[str, str]:
    """The environment of a job: a login's, what the facility tells it, and what it asked for."""
    asked = dict(job.request.environment)
    if job.request.script is not None and "PATH" in asked:
        # APIs of batch jobs may ask for the whole environment, but launchers are found in front of any PATH.
        asked["PATH"] = path.removesuffix(server.get("PATH", os.defpath)) + asked["PATH"]
    return {
        **login_environment(user, server if job.request.inherit_environment else {}, path),
        "IRI_JOB_ID": str(job.id),
        "IRI_JOB_NAME": job.name,
        "IRI_NODE_COUNT": str(job.node_count),
        "IRI_NODES": " ".join(job.nodes),
        "IRI_RESTART_COUNT": str(job.restarts),
        **batch.environment(job),
        **asked,
    }
