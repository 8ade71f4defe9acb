"""What a log line is about, as fields beside its text: a JSON formatter shows them, a search finds them."""

from __future__ import annotations

from iri_common.model.errors import IriError
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef


def about(
    *,
    facility: str | None = None,
    operation: str | None = None,
    key: JobKey | None = None,
    ref: JobRef | None = None,
    request_id: str | None = None,
    error: BaseException | None = None,
) -> dict[str, str]:
    """The ``extra`` of a log call: ``iri_facility``, ``_operation``, ``_key``, ``_job``, ``_request_id``.

    A field is there if its value is known. The text of the line says them too, for those who read text.

    Args:
        facility: The door, as messages call it.
        operation: In the API's own words.
        key: Who asked for the job.
        ref: The job; gives its key and id, and the facility where none is said.
        request_id: The facility's id of the request.
        error: Gives facility, operation and request id where none is said.
    """
    if isinstance(error, IriError):
        facility = facility or error.facility
        operation = operation or error.operation
        request_id = request_id or error.request_id
    if ref is not None:
        facility = facility or ref.profile or ref.origin
        key = key or ref.key
    known = {
        "iri_facility": facility,
        "iri_operation": operation,
        "iri_key": str(key) if key else None,
        "iri_job": ref.job_id if ref else None,
        "iri_request_id": request_id,
    }
    return {name: value for name, value in known.items() if value}
