"""Jobs in the hands of a real Slurm: the facility's queue decides when, Slurm runs them and ends them."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .jobs import Job
from .processes import signal_group

_ANSWERS_WITHIN = 15.0

# Stands in for the job at the facility for as long as Slurm has it: ends when the job has left its exit code,
# or when Slurm has it no longer. A Slurm that does not answer has it still, unless the facility is gone.
_STAND_IN = """\
id=$({sbatch}) || exit 1
looks=0
while [ ! -s {code} ] && [ -e {batch} ]; do
  sleep 0.1
  looks=$((looks + 1))
  [ $((looks % 20)) -eq 0 ] || continue
  state=$(squeue --noheader --jobs="$id" --format=%T 2>/dev/null) || continue
  [ -n "$state" ] || break
done
sleep 0.1
code=137
[ ! -s {code} ] || read -r code <{code}
exit "$code"
"""
# What Slurm runs. It outlives what is sent to the job, to say how the job took it.
_BATCH = """\
#!/bin/sh
trap : HUP INT QUIT USR1 USR2 TERM
exec <{stdin} >>{stdout} 2>>{stderr}
env -i {environment} /bin/sh {script}
code=$?
echo $code >{code}.part && mv {code}.part {code}
exit $code
"""


@dataclass(frozen=True)
class _Handed:
    """How to find a job in Slurm again."""

    conf: str
    name: str

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need."""
        return {"PATH": os.environ.get("PATH", os.defpath), "SLURM_CONF": self.conf}


def hand_over(
    conf: Path,
    job: Job,
    job_dir: Path,
    script: Path,
    directory: Path,
    environment: Mapping[str, str],
    files: tuple[str, str, str],
) -> tuple[Path, dict[str, str]]:
    """Prepare a job for Slurm.

    Args:
        conf: The Slurm's ``slurm.conf``.
        job: The job.
        job_dir: Where the facility keeps what it needs for it.
        script: What the job runs.
        directory: Where it runs.
        environment: All of its variables.
        files: Its standard input, output and error.

    Returns:
        The script that stands in for the job here, and the environment of that script.
    """
    place = hashlib.sha256(str(job_dir).encode()).hexdigest()[:12]
    handed = _Handed(str(conf), f"local-{place}-{job.id}-{job.restarts}")
    (job_dir / "slurm").write_text(json.dumps(asdict(handed)))
    code, batch, stand_in = job_dir / "code", job_dir / "handed", job_dir / "stand-in"
    code.unlink(missing_ok=True)  # of the last attempt
    stdin, stdout, stderr = (shlex.quote(path) for path in files)
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
    batch.write_text(
        _BATCH.format(
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            environment=words,
            script=shlex.quote(str(script)),
            code=shlex.quote(str(code)),
        ),
        errors="surrogateescape",
    )
    sbatch = [
        "sbatch",
        "--parsable",
        "--no-requeue",
        f"--job-name={handed.name}",
        f"--chdir={directory}",
        f"--ntasks={job.request.process_count}",
        # The facility's own limit comes first.
        f"--time={job.duration // 60 + 2}",
        "--output=/dev/null",
        str(batch),
    ]
    stand_in.write_text(
        _STAND_IN.format(
            sbatch=shlex.join(sbatch), batch=shlex.quote(str(batch)), code=shlex.quote(str(code))
        )
    )
    return stand_in, handed.environment


def send(job_dir: Path, pid: int, number: signal.Signals) -> None:
    """Send a signal to a job, wherever it runs; SIGKILL also ends one that Slurm has not started."""
    handed = _handed(job_dir)
    if handed is None:
        signal_group(pid, number)
        return
    orders: list[tuple[str, ...]] = [(f"--signal={number.name.removeprefix('SIG')}", "--full")]
    if number is signal.SIGKILL:
        orders.append(())

    def carry_out() -> None:
        taken = [_scancel(handed, *words) for words in orders]
        if number is signal.SIGKILL and not all(taken):
            signal_group(pid, number)  # nobody is there to end the job, and the facility need not wait

    # A Slurm that does not answer holds up nobody but this thread.
    threading.Thread(target=carry_out, name="scancel").start()


def _handed(job_dir: Path) -> _Handed | None:
    try:
        return _Handed(**json.loads((job_dir / "slurm").read_text()))
    except (OSError, ValueError):
        return None


def _scancel(handed: _Handed, *words: str) -> bool:
    """Whether Slurm has taken the order."""
    try:
        done = subprocess.run(
            ["scancel", "--quiet", *words, f"--name={handed.name}"],
            env=handed.environment,
            capture_output=True,
            timeout=_ANSWERS_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
