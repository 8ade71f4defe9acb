"""The exact request of a submit, shown instead of sent; what is secret in it is masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from iri_common.facility.settings import FacilitySettings
from iri_common.model.key import JobKey
from iri_common.model.ports import Token, WireRequest
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
        script: The shell text in the body that the job runs, guard and all; "" for none.
    """

    resource_id: str
    key: JobKey
    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    script: str = ""


def masked(submission: Submission) -> Submission:
    """The same ask with the values of its environment masked; its digest stays."""
    spec = submission.spec
    environment = dict.fromkeys(spec.environment, MASK)
    asked = submission.asked or spec
    return replace(submission, spec=spec.model_copy(update={"environment": environment}), asked=asked)


def credential_of(settings: FacilitySettings) -> Mapping[str, str]:
    """The headers that would carry the token, masked."""
    if settings.token is None:
        return {}
    carried = settings.kind.credential(settings.words)(Token(MASK))
    return {name.title(): value for name, value in carried.items()}


def shown(settings: FacilitySettings, *requests: WireRequest) -> Sequence[WireRequest]:
    """Requests as they would be sent, with the credential masked."""
    carried = credential_of(settings)
    return [replace(each, headers={**each.headers, **carried}) for each in requests]


def preview(submission: Submission, request: WireRequest, credential: Mapping[str, str]) -> Preview:
    """Show a submission.

    Args:
        submission: Whole, with all defaults, and :func:`masked`.
        request: By which the dialect would send it.
        credential: The headers that would carry the token, masked.
    """
    body: dict[str, Any] = dict(request.form or request.json or {})
    scripts = [text for text in _texts(body) if "\n" in text and (submission.guarded or text[:2] == "#!")]
    return Preview(
        resource_id=submission.resource_id,
        key=submission.key,
        name=submission.name,
        method=request.method,
        url=request.url,
        headers={**request.headers, **credential},
        body=body,
        script=max(scripts, key=len, default=""),
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(each)
