"""The scripts of transfers: jobs like any other, whose logs say what their state does not."""

from __future__ import annotations

import html
import math
import shlex
import sys
import uuid
from pathlib import Path
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.facility import Facility
from iri_local_facility.settings import Settings

from . import schedulers
from .models import JobDescription
from .refusals import Refusal

_COURIER = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(Path(__file__).with_name('courier.py')))}"
_JOB_ID = "${SLURM_JOB_ID:-${PBS_JOBID:-unknown}}"
# The last exit is that of the echo before it: such a job fails in its log only.
_COMMAND = """\
#!/bin/bash
{directives}
echo $(date -u) "{title} Files Job (id:{job_id})"
status=$({command})
if [[ "$?" == '0' ]]; then
    echo $(date -u) "Files were successfully {done}."
    exit 0
else
    echo $(date -u) "Unable to {verb} files exit code:${{?}} error: ${{status}}" >&2
    exit $?
fi
"""
# It looks once, and then every so often for a day. When nothing comes, it ends as if all were well.
_INGRESS = """\
#!/bin/bash
{directives}
echo $(date -u) "Ingress File Transfer Job (id:{job_id})"
if [ -d "{target}" ]; then
    echo $(date -u) "targetPath must point to a file path: {target} is a directory." >&2
    exit 3
fi
echo $(date -u) "Waiting till file to transfer is available..."
for attempt in $(seq 1440); do
    if {courier} exists "{head_url}"; then
        echo $(date -u) "File to transfer found in S3 bucket"
        if ! {courier} fetch "{get_url}" "{target}" {part_size}; then
            echo $(date -u) "Download failed" >&2
            exit 1
        fi
        echo $(date -u) "File was successfully downloaded (size: $(wc -c < "{target}") bytes)"
        break
    fi
    sleep {interval}
done
"""
# The path stands without quotes.
_EGRESS = """\
#!/bin/bash
{directives}
input_file={source}
echo $(date -u) "Upload File Job (id:{job_id})"
if [ ! -f "$input_file" ]; then
    >&2 echo "file_not_found"
    exit 34
fi
{courier} send "$input_file" {part_size} "{complete_url}" {part_urls} || exit
echo "[INFO] Multipart file upload successfully completed"
"""
_WORDS = {
    "mv": ("Move", "moved", "move", "MoveFiles"),
    "cp": ("Copy", "copied", "copy", "CopyFiles"),
    "rm": ("Delete", "deleted", "delete", "DeleteFiles"),
    "compress": ("Compress", "compressed", "compress", "CompressFiles"),
    "extract": ("Extract", "extracted", "extract", "CompressFiles"),
}


def directives(settings: Settings) -> list[str]:
    """What the site puts into the scripts of transfers."""
    if not settings.firecrest_account:
        return []
    return [
        {"slurm": "#SBATCH --account={account}", "pbs": "#PBS -P {account}"}[settings.firecrest_scheduler]
    ]


async def run_command(
    core: Facility, user: User, name: str, account: str | None, command: str, **paths: str
) -> dict[str, Any]:
    """Submit a job that runs a file command; ``paths`` are put into it as they are put into web pages."""
    title, done, verb, job_name = _WORDS[name]
    script = _COMMAND.format(
        directives=_directives(core, account),
        title=title,
        job_id=_JOB_ID,
        command=command.format(**{key: html.escape(path) for key, path in paths.items()}),
        done=done,
        verb=verb,
    )
    return await _submit(core, user, job_name, script)


async def run_ingress(
    core: Facility, user: User, account: str | None, target: str, head_url: str, get_url: str
) -> dict[str, Any]:
    """Submit the job that waits for an object and makes a file of it."""
    script = _INGRESS.format(
        directives=_directives(core, account),
        job_id=_JOB_ID,
        target=html.escape(target),
        courier=_COURIER,
        head_url=head_url,
        get_url=get_url,
        part_size=core.settings.firecrest_part_size,
        interval=core.settings.firecrest_transfer_poll,
    )
    return await _submit(core, user, "IngressFileTransfer", script)


async def run_egress(
    core: Facility, user: User, account: str | None, source: str, complete_url: str, part_urls: list[str]
) -> dict[str, Any]:
    """Submit the job that makes an object of a file."""
    script = _EGRESS.format(
        directives=_directives(core, account),
        job_id=_JOB_ID,
        source=html.escape(source),
        courier=_COURIER,
        part_size=core.settings.firecrest_part_size,
        complete_url=complete_url,
        part_urls=" ".join(f'"{url}"' for url in part_urls),
    )
    return await _submit(core, user, "OutgressFileTransfer", script)


def part_count(core: Facility, size: int) -> int:
    """How many parts a file has on its way."""
    return math.ceil(size / core.settings.firecrest_part_size)


def _directives(core: Facility, account: str | None) -> str:
    lines = "\n".join(directives(core.settings))
    if "{account}" in lines and account is None:
        raise Refusal(400, "Account parameter is required on this system.")
    return lines.format(account=account)


async def _submit(core: Facility, user: User, name: str, script: str) -> dict[str, Any]:
    directory, mark = str(user.areas.home), uuid.uuid4()
    logs = {
        "outputLog": f"{directory}/.f7t_file_handling_job_{mark}.log",
        "errorLog": f"{directory}/.f7t_file_handling_job_error_{mark}.log",
    }
    wanted = JobDescription(
        workingDirectory=directory,
        name=name,
        standardInput="/dev/null",
        standardOutput=logs["outputLog"],
        standardError=logs["errorLog"],
        env={"PATH": "/bin:/usr/bin/:/usr/local/bin/"},
        script=script,
    )
    job = await schedulers.submit(core, user, wanted)
    return {
        "jobId": str(job.id),
        "system": core.catalog.cluster.name,
        "workingDirectory": directory,
        "logs": logs,
    }
