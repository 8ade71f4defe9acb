"""One command on a login node, for what the API has no operation for: quoted exactly, answered exactly.

A command line goes through a login shell there, whose greetings may come before what the command writes. So
the script is one word of ``bash -c``, and what it writes comes back as base64 between marks of our own.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from dataclasses import dataclass

from iri_common.apis.reading import Reading
from iri_common.apis.superfacility.wire import failed, result_of, unreadable
from iri_common.jobside.guard import encodable
from iri_common.model.errors import UsageError
from iri_common.policy.classify import Outcome

# No letter of base64 is in a mark.
_ANSWER = re.compile(r":iri:([A-Za-z0-9+/=\s]*):(\d{1,3}):([A-Za-z0-9+/=\s]*):iri:")
_FRAME = (
    "export LC_ALL=C; printf :iri:; "
    "{{ e=$( {{ {{ {command}; }} | base64 >&3; exit ${{PIPESTATUS[0]}}; }} 2>&1 ); c=$?; }} 3>&1; "
    'printf :%s: $c; printf %s "$e" | base64; printf :iri:'
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a command wrote and how it ended."""

    output: bytes
    code: int
    error: str


def command_line(command: str) -> str:
    """The one line that runs a command of bash and tells what came of it."""
    return f"bash -c {shlex.quote(_FRAME.format(command=encodable(command, 'the command')))}"


def word(path: str) -> str:
    """A path as one word of a command that is never an option.

    Raises:
        UsageError: for an empty one, which would be the facility's to guess.
    """
    if not path:
        raise UsageError("a file operation needs a path; an empty one would be the facility's to guess")
    return shlex.quote(path if path.startswith("/") else f"./{path}")


def told(reading: Reading, result: object) -> Told:
    """What a command told, out of the result of its task.

    Raises:
        IriError: if it tells nothing: it was ended before its own end, or never begun.
    """
    document = result_of(reading, result)
    output = document.get("output")
    found = _ANSWER.findall(output) if isinstance(output, str) else []
    if not found:
        raise unreadable(reading, "the command did not come to its end")
    written, code, error = found[-1]
    try:
        return Told(
            base64.b64decode("".join(written.split()), validate=True),
            int(code),
            base64.b64decode("".join(error.split()), validate=True).decode("utf-8", "replace"),
        )
    except (binascii.Error, ValueError):
        raise unreadable(reading, "what the command wrote is cut") from None


def output_of(reading: Reading, result: object) -> bytes:
    """What a command wrote.

    Raises:
        IriError: the kind that its words name, if it failed.
    """
    answer = told(reading, result)
    if answer.code:
        # It ran, and itself says no.
        raise failed(reading, answer.error or f"exit code {answer.code}", unknown=Outcome.INVALID)
    return answer.output
