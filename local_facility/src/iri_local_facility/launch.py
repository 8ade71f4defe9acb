"""Starting one job: its directory, its script, its files, its process."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from . import batch
from .accounts import User
from .handover import hand_over
from .jobs import Job
from .processes import spawn
from .scripts import job_environment, job_script
from .shims import Trap


def launch(
    job: Job, user: User, job_dir: Path, trap: Trap, slurm: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a job's process, or what stands in for it while the Slurm of that configuration runs it.

    Raises:
        OSError: A file or directory the job names is not there, or the system refuses to start it.
        FacilityError: A path was the user's at submission but leads elsewhere now.
    """
    job_dir.mkdir(parents=True, exist_ok=True)
    script = job_dir / "script"
    request = batch.written(trap.around(job.request), job_dir)
    script.write_text(job_script(request), errors="surrogateescape")
    directory = user.areas.resolve(job.request.directory or "")
    environment = job_environment(job, user, os.environ, trap.path)
    with contextlib.ExitStack() as files:
        opened = _open_files(job, user, files)
        if slurm is not None:
            named = (job.request.stdin or os.devnull, *output_paths(job))
            script, environment = hand_over(slurm, job, job_dir, script, directory, environment, named)
        return spawn(job_dir, script, directory, environment, opened)


def output_paths(job: Job) -> tuple[str, str]:
    """Where a job's standard output and error go: one file in its directory unless it says otherwise."""
    stdout = job.request.stdout or os.path.join(job.request.directory or "", f"job-{job.id}.out")
    stderr = job.request.stderr or stdout
    if job.request.script is None:
        return stdout, stderr
    return batch.expand(stdout, job), batch.expand(stderr, job)


def _open_files(job: Job, user: User, files: contextlib.ExitStack) -> tuple[int, int, int]:
    def opened(path: str, flags: int) -> int:
        real = path if path == os.devnull else user.areas.resolve(path)
        descriptor = os.open(real, flags, 0o644)
        files.callback(os.close, descriptor)
        return descriptor

    out_path, err_path = output_paths(job)
    # Appending, so that standard output and error can share a file without overwriting one another.
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    stdin = opened(job.request.stdin or os.devnull, os.O_RDONLY)
    stdout = opened(out_path, write)
    stderr = stdout if err_path == out_path else opened(err_path, write)
    return stdin, stdout, stderr
