"""The last lines that a job wrote, for the log of whoever asked for it."""

from __future__ import annotations

import logging

from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import IriError
from iri_common.model.logfields import about
from iri_common.model.ports import Dialect
from iri_common.model.ref import JobRef

log = logging.getLogger(__name__)


async def tail(
    dialect: Dialect,
    ref: JobRef,
    file_system: str | None,
    stream: str,
    lines: int,
    patience: Patience | None = None,
) -> str:
    """The last lines of "stdout" or "stderr", or "" where the facility does not show them.

    Never raises for want of the text: it is asked for to explain something else.
    """
    if not ref.job_id or not dialect.grades.readable_files:
        return ""
    try:
        paths = (await dialect.jobs.output_paths(ref.resource_id, ref.job_id)).value
        path = paths.get(stream)
        if not path or not file_system:
            return ""
        answer = await dialect.files.tail(file_system, path, lines=lines)
        return (await settled(answer, dialect.operations, patience or Patience(total=30.0))).content
    except IriError as error:
        log.info(
            "the %s of %s cannot be read: %s",
            stream,
            ref.describe(),
            error,
            extra=about(ref=ref, error=error),
        )
        return ""
