"""A batch job when it runs: its script file, its variables, the names of its files, its launchers."""

from __future__ import annotations

import dataclasses
import re
from itertools import groupby
from pathlib import Path

from iri_local_facility.arrays import tasks_of
from iri_local_facility.jobs import Job, JobRequest

_LAUNCHERS = ("srun", "mpirun", "mpiexec", "aprun")
# A laptop lacks the machines behind parallel launchers, so this plays the part: as many copies as asked for.
_LAUNCHER = """\
#!/bin/sh
count=${SLURM_NTASKS:-1}
while [ $# -gt 0 ]; do
  case $1 in
    -n | -np | --ntasks) count=$2; shift 2 ;;
    --ntasks=*) count=${1#*=}; shift ;;
    -n[0-9]*) count=${1#-n}; shift ;;
    -[ANJpcwxt] | --mpi | --jobid) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    *) break ;;
  esac
done
pids= rank=0 code=0
while [ "$rank" -lt "$count" ]; do
  IRI_PROCESS_ID=$rank SLURM_PROCID=$rank SLURM_NTASKS=$count "$@" &
  pids="$pids $!" rank=$((rank + 1))
done
trap 'kill -TERM $pids 2>/dev/null' TERM
for pid in $pids; do wait "$pid" || code=$?; done
exit "$code"
"""


def make_tools(directory: Path) -> None:
    """Write the programs that batch jobs find in front of their PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in _LAUNCHERS:
        tool = directory / name
        tool.write_text(_LAUNCHER)
        tool.chmod(0o755)


def written(request: JobRequest, job_dir: Path) -> JobRequest:
    """The request with its script in a file, which its interpreter is given."""
    if request.script is None:
        return request
    path = job_dir / "batch"
    path.write_text(request.script, errors="surrogateescape")
    path.chmod(0o755)
    return dataclasses.replace(request, arguments=[*request.arguments, str(path), *request.script_arguments])


def readable(script: str) -> str:
    """A script as JSON can carry it: files may hold bytes that are no text."""
    return script.encode(errors="surrogateescape").decode(errors="replace")


def expand(path: str, job: Job) -> str:
    """A path with what its ``%`` patterns stand for."""
    if "\\" in path:
        return path.replace("\\", "")
    number = str(job.id)
    array, index = (
        str(job.array_job or job.id),
        "4294967294" if job.array_index is None else str(job.array_index),
    )
    stands_for = {
        "%": "%", "A": array, "J": number, "j": number, "a": index, "s": "batch", "n": "0", "t": "0",
        "u": job.user, "x": job.name, "N": job.nodes[0] if job.nodes else "",
    }  # fmt: skip
    return re.sub(
        r"%(\d{0,2})([%AJajnstuxN])", lambda found: stands_for[found[2]].zfill(int(found[1] or 0)), path
    )


def environment(job: Job) -> dict[str, str]:
    """What the scheduler tells a batch job; nothing to a job that is none."""
    if job.request.script is None:
        return {}
    return _pbs_environment(job) if job.request.scheduler == "pbs" else _slurm_environment(job)


def _slurm_environment(job: Job) -> dict[str, str]:
    number, count, nodes = str(job.id), str(job.node_count), node_list(job.nodes)
    found = {
        "SLURM_CLUSTER_NAME": "cluster",
        "SLURM_JOBID": number,
        "SLURM_JOB_ACCOUNT": job.account,
        "SLURM_JOB_ID": number,
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_JOB_NUM_NODES": count,
        "SLURM_JOB_PARTITION": job.queue,
        "SLURM_JOB_USER": job.user,
        "SLURM_NNODES": count,
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": nodes,
        "SLURM_NTASKS": str(job.request.process_count),
        "SLURM_PROCID": "0",
        "SLURM_SUBMIT_DIR": job.request.directory or "",
        "SLURMD_NODENAME": job.nodes[0] if job.nodes else "",
    }
    found |= _array_environment(job)
    # Only there once it has happened, as with the real one.
    return {**found, "SLURM_RESTART_COUNT": str(job.restarts)} if job.restarts else found


def _array_environment(job: Job) -> dict[str, str]:
    if job.array_job is None or job.request.array is None:
        return {}
    indices, _ = tasks_of(job.request.array)
    return {
        "SLURM_ARRAY_JOB_ID": str(job.array_job),
        "SLURM_ARRAY_TASK_COUNT": str(len(indices)),
        "SLURM_ARRAY_TASK_ID": str(job.array_index),
        "SLURM_ARRAY_TASK_MAX": str(indices[-1]),
        "SLURM_ARRAY_TASK_MIN": str(indices[0]),
        "SLURM_ARRAY_TASK_STEP": str(indices[1] - indices[0] if len(indices) > 1 else 1),
    }


def _pbs_environment(job: Job) -> dict[str, str]:
    return {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": f"{job.id}.cluster",
        "PBS_JOBNAME": job.name,
        "PBS_O_LOGNAME": job.user,
        "PBS_O_WORKDIR": job.request.directory or "",
        "PBS_QUEUE": job.queue,
    }


def node_list(nodes: list[str]) -> str:
    """Nodes as Slurm lists them: ``node[1-3,5]``."""
    found: dict[str, list[int]] = {}
    for node in nodes:
        prefix = node.rstrip("0123456789")
        found.setdefault(prefix, []).append(int(node[len(prefix) :]))
    return ",".join(_ranges(prefix, sorted(numbers)) for prefix, numbers in found.items())


def _ranges(prefix: str, numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"{prefix}{numbers[0]}"
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), key=lambda each: each[1] - each[0])
    ]
    spans = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"{prefix}[{','.join(spans)}]"
