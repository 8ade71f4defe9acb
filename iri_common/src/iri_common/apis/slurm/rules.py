"""What is odd about this API, as data."""

from __future__ import annotations

import re
from typing import Any, cast

from iri_common.policy.classify import Outcome, Rules, Word

LOOKS = frozenset({"ping", "getJobs", "getJob", "getPartitions", "getReservations", "getNodes"})

# slurmrestd 22.05 says this of a look whose token slurmctld refused, and of one that found no slurmctld.
UNEXPLAINED = re.compile(r"\(Slurm error (?:-1|5005)\)")


def errors_of(value: Any) -> str:
    """The words of the ``errors`` of a reply, each with its number; "" without any."""
    if not isinstance(value, dict):
        return ""
    fields = cast("dict[str, Any]", value)
    told = [_error(each) for each in _listed(fields.get("errors"))]
    told += [_signal_error(each) for each in _listed(fields.get("status"))]
    return "; ".join(each for each in told if each)


def says(problem: Any) -> str:
    """The words of an error: Slurm's, or those of S3M's gateway."""
    if told := errors_of(problem):
        return told
    fields = cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
    return _text(fields.get("public_message")) or _text(fields.get("message"))


def failure(operation: str, value: Any) -> str | None:
    """The errors of a success. A job that was accepted keeps them as remarks: it is held, or cannot start."""
    if operation == "submitJob" and job_number(value) is not None:
        return None
    return errors_of(value) or None


def job_number(value: Any) -> int | None:
    """The id in the answer to a submit; Slurm counts from 1."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, Any]", value)
    inner = fields.get("result")
    if fields.get("job_id") is None and isinstance(inner, dict):  # v0.0.39 and v0.0.40 have it there too
        fields = cast("dict[str, Any]", inner)
    number = fields.get("job_id")
    if isinstance(number, str) and number.isdecimal() and len(number) < 20:
        number = int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None


def _listed(value: Any) -> list[dict[str, Any]]:
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in entries if isinstance(each, dict)]


def _error(fields: dict[str, Any]) -> str:
    # The number's name changes from operation to operation in v0.0.38.
    names = ("error_number", "error_code", "errno")
    number = next((fields[each] for each in names if fields.get(each) is not None), None)
    return _worded(number, _text(fields.get("description")), _text(fields.get("error")))


def _signal_error(fields: dict[str, Any]) -> str:
    error = fields.get("error")
    if not isinstance(error, dict):
        return ""
    inside = cast("dict[str, Any]", error)
    number = inside.get("code")
    return _worded(number, _text(inside.get("message")), _text(inside.get("string"))) if number else ""


def _worded(number: Any, *texts: str) -> str:
    words = ": ".join(dict.fromkeys(each for each in texts if each))
    code = f"(Slurm error {number})" if isinstance(number, int) else ""
    return " ".join(each for each in (words, code) if each)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(*numbers: str) -> re.Pattern[str]:
    return re.compile(rf"\(Slurm error (?:{'|'.join(numbers)})\)")


_JOB = frozenset({"getJob", "getRecordedJob", "cancelJob", "updateJob"})
_RESERVATION = frozenset({"createReservation", "deleteReservation"})
_RECORDS = frozenset({"getRecordedJob", "getRecordedJobs"})
# As a refusal, a failed look would say of a job that it is not there.
_TELLS_OF_JOBS = frozenset({"getJob", "getJobs", "getRecordedJob"})
_REFUSABLE = (LOOKS | _JOB | _RECORDS | _RESERVATION) - _TELLS_OF_JOBS

RULES = Rules(
    by_status={511: Outcome.BAD_TOKEN},  # slurmrestd's own, "network authentication required"
    texts=True,
    failure=failure,
    says=says,
    words=(
        # A version, or the accounting database, that this slurmrestd was not started with.
        Word(Outcome.NOT_OFFERED, re.compile(r"find requested URL"), statuses=frozenset({404})),
        Word(Outcome.BAD_TOKEN, _number("1007")),
        # Refused for no reason that is told; who is to blame is asked for (:mod:`calls`).
        Word(Outcome.INVALID, UNEXPLAINED, operations=LOOKS),
        # slurmctld closes the connection on a token that it does not take. Of a submit the words stand for
        # one that died over it as well, and so for a job that may be there.
        Word(Outcome.BAD_TOKEN, _number("5005"), operations=frozenset({"cancelJob", "updateJob"})),
        Word(Outcome.NOT_SENT, _number("1800")),  # slurmrestd got no connection to slurmctld
        Word(Outcome.AWAY, _number("2027", "2131")),  # the backup slurmctld stands by
        Word(Outcome.NOT_FOUND, _number("2017", "9003"), operations=_JOB | _RECORDS),
        Word(Outcome.CONFLICT, _number("2021", "2084"), operations=frozenset({"cancelJob"})),
        Word(Outcome.NOT_FOUND, _number("2053"), operations=frozenset({"deleteReservation"})),
        # In use; there is one of that name; it is that one, and has begun.
        Word(Outcome.CONFLICT, _number("2055", "2082", "2104"), operations=_RESERVATION),
        Word(Outcome.FORBIDDEN, _number("2002")),
        Word(Outcome.BROKEN, _number("2090")),
        # Sent, and then the connection broke: S3M tells it in words only, with whatever status.
        Word(Outcome.BROKEN, re.compile("unable to contact slurm", re.IGNORECASE)),
        # The rest of Slurm's own numbers and of its parser's come as 500 although nothing was done; any other
        # status knows better than they. A submit that the parser refuses is told so with 400: of one that
        # has neither that nor an id nobody knows what it did.
        Word(Outcome.INVALID, _number(r"2\d{3}"), _REFUSABLE | {"submitJob"}, frozenset({200, 500})),
        Word(Outcome.INVALID, _number(r"9\d{3}"), _REFUSABLE, frozenset({200, 500})),
        Word(Outcome.BROKEN, re.compile(""), _TELLS_OF_JOBS, frozenset({400, 422})),
    ),
)
