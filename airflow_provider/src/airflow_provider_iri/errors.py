"""What a failure means to Airflow: will a retry mend it, or does it take a person?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException

import iri_common
from iri_common import (
    AuthError,
    Conflict,
    IriError,
    JobFailed,
    JobLost,
    JobReason,
    PermissionDenied,
    Refused,
    TransientError,
    UsageError,
)

_UNMENDABLE = (UsageError, AuthError, PermissionDenied, Refused, JobLost)


class TaskFailed(AirflowException):
    """A task failed, and Airflow may try it again.

    Attributes:
        retry_sensible: Whether the same may well succeed then; None where nobody can tell.
        outage: It was the facility that failed, and maybe for hours.
    """

    def __init__(self, message: str, *, retry_sensible: bool | None = None, outage: bool = False) -> None:
        super().__init__(message)
        self.retry_sensible = retry_sensible
        self.outage = outage


@contextmanager
def told_to_airflow(conn_id: str | None = None) -> Iterator[None]:
    """Turn the core's errors into Airflow's: AirflowFailException where no retry helps.

    Args:
        conn_id: Of the connection in use, for advice; None where there is none, or more than one.
    """
    try:
        yield
    except IriError as error:
        _tell(type(error), str(error), conn_id, _sensible(error))


def tell_again(kind: str, message: str, conn_id: str | None = None) -> NoReturn:
    """Raise what another process met: a trigger's event carries only the error's name and text."""
    known = getattr(iri_common, kind, None)
    if isinstance(known, type) and issubclass(known, IriError):
        _tell(known, message, conn_id, True if issubclass(known, TransientError) else None)
    _tell(IriError, f"{kind}: {message}", conn_id, None)


def _sensible(error: IriError) -> bool | None:
    if not isinstance(error, JobFailed):
        return True if isinstance(error, TransientError) else None
    # Airflow itself cancels the job of a task that is cleared while a worker holds it.
    if error.reason in {None, JobReason.CANCELED}:
        return None
    return error.reason.retry_sensible


def _tell(kind: type[IriError], message: str, conn_id: str | None, sensible: bool | None) -> NoReturn:
    if conn_id is not None and issubclass(kind, AuthError | PermissionDenied):
        message = f"{message}. The credential is that of the Airflow connection {conn_id!r}"
    mendable = issubclass(kind, Conflict) or not issubclass(kind, _UNMENDABLE)
    # "from None": the message says it all, and a failed job's stderr is not wanted twice in the log.
    if not mendable:
        raise AirflowFailException(message) from None
    raise TaskFailed(message, retry_sensible=sensible, outage=issubclass(kind, TransientError)) from None
