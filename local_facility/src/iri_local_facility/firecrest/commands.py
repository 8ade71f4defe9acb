"""What the commands of the schedulers say on the login node, and what the server makes of it: mostly 500."""

from __future__ import annotations

from iri_local_facility.batch import BadScript

from .refusals import Refusal

# Words that sbatch has only for itself; everything else comes back from Slurm's controller.
_QSUB = {
    "Invalid partition name specified": "qsub: Unknown queue",
    "Invalid account or account/partition combination specified": "qsub: Invalid account",
    "Requested reservation is invalid": "qsub: Unknown queue",
}
_QSUB_ELSE = "qsub: Job rejected by all possible destinations"


def sbatch_refused(error: Exception, partition: str | None) -> Refusal:
    """A submission that sbatch or Slurm refuses."""
    words = str(error).removeprefix("Job submit failed: ")
    if isinstance(error, BadScript):
        lines = [f"sbatch: error: {line}" for line in words.splitlines()]
    else:
        lines = [f"sbatch: error: Batch job submission failed: {words}"]
        if words.startswith("Invalid partition"):
            lines.insert(0, f"sbatch: error: invalid partition specified: {partition}")
    return slurm_failed("\n".join(lines) + "\n")


def qsub_refused(error: Exception) -> Refusal:
    """A submission that qsub or PBS refuses."""
    words = str(error).removeprefix("Job submit failed: ")
    stderr = _QSUB.get(words, f"qsub: {words}" if isinstance(error, BadScript) else _QSUB_ELSE)
    return Refusal(500, f"Unexpected PBS command response. exit_status:170 std_err:{stderr}\n stdout:")


def slurm_failed(stderr: str) -> Refusal:
    """A command of Slurm failed."""
    return Refusal(500, f"Unexpected Slurm command response. exit_status:1 std_err:{stderr}")


def scancel_failed(job_id: str, words: str) -> Refusal:
    """Scancel did not end a job."""
    return slurm_failed(
        f"scancel: Terminating job {job_id}\nscancel: error: Kill job error on job id {job_id}: {words}\n"
    )


def unknown_to_pbs(command: str, job_id: str) -> Refusal:
    """PBS knows no such job, which is an error of the command."""
    return _pbs_failed(command, 153, f"Unknown Job Id {job_id}")


def over_in_pbs(job_id: str) -> Refusal:
    """Qdel found that a job is over."""
    return _pbs_failed("qdel", 35, f"Job has finished {job_id}.cluster")


def _pbs_failed(command: str, exit_status: int, words: str) -> Refusal:
    return Refusal(
        500, f"Unexpected PBS {command} response. exit_status:{exit_status} std_err:{command}: {words}\n"
    )
