"""The exact request of a submit, shown instead of sent; what is secret in it is masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iri_common.model.key import JobKey
from iri_common.model.ports import WireRequest
from iri_common.model.submission import Submission

MASK = "********"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a submit would send.

    Attributes:
        resource_id: Where the job would go.
        key: In whose name.
        name: The job's name at the facility.
        method: HTTP verb.
        url: Of the request.
        headers: Of the request, credentials masked.
        body: Of the request, values of the environment masked.
        script: What the job's shell would run, guard and all; "" for a job without a guard.
    """

    resource_id: str
    key: JobKey
    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    script: str = ""


def preview(submission: Submission, request: WireRequest, *, credential: bool) -> Preview:
    """Show a submission.

    Args:
        submission: Whole, with all defaults.
        request: By which the dialect would send it.
        credential: Whether a token goes along.
    """
    body: dict[str, Any] = dict(request.json)
    if body.get("environment"):
        body["environment"] = dict.fromkeys(body["environment"], MASK)
    arguments = body.get("arguments", ())
    return Preview(
        resource_id=submission.resource_id,
        key=submission.key,
        name=submission.name,
        method=request.method,
        url=request.url,
        headers={**request.headers, **({"Authorization": f"Bearer {MASK}"} if credential else {})},
        body=body,
        script=arguments[1] if submission.guarded and len(arguments) > 1 else "",
    )
