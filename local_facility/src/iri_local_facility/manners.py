"""How each face says what it has not said itself, and where its requests tell a job's name.

Orders strike outside the faces, but what a client then reads must be in the words of the API that it speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


def problem(status: int, detail: str, path: str) -> dict[str, Any]:
    """An error as the IRI API words it (RFC 9457)."""
    return {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
        "instance": path,
    }


def phrase(status: int) -> str:
    """What a status is called."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"


def name_in_json(body: bytes) -> str | None:
    """The name of the job that a JSON body describes; of a transfer, its label.

    Raises:
        ValueError: It describes none.
        AttributeError: Likewise.
    """
    document = json.loads(body)
    return document.get("name") or document.get("label")


@dataclass(frozen=True)
class Manners:
    """What the orders must know of a face; ``app.state.manners`` of its application, where it differs.

    Attributes:
        refusal: The JSON of an error, from its status, what it is about and the path.
        media_type: The type of that document.
        job_name: The name that the body of a submission gives; it may raise `ValueError`, `AttributeError`.
    """

    refusal: Callable[[int, str, str], Any] = problem
    media_type: str = "application/problem+json"
    job_name: Callable[[bytes], str | None] = name_in_json
