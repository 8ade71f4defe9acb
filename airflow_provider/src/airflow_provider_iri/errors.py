"""What a failure means to Airflow: will a retry mend it, or does it take a person?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException

import iri_common
from iri_common import AuthError, Conflict, IriError, JobLost, PermissionDenied, Refused, UsageError

_UNMENDABLE = (UsageError, AuthError, PermissionDenied, Refused, JobLost)


@contextmanager
def told_to_airflow(conn_id: str) -> Iterator[None]:
    """Turn the core's errors into Airflow's: AirflowFailException where no retry helps.

    Args:
        conn_id: Of the connection in use, for advice.
    """
    try:
        yield
    except IriError as error:
        _tell(type(error), str(error), conn_id)


def tell_again(kind: str, message: str, conn_id: str) -> NoReturn:
    """Raise what another process met: a trigger's event carries only the error's name and text."""
    known = getattr(iri_common, kind, None)
    if isinstance(known, type) and issubclass(known, IriError):
        _tell(known, message, conn_id)
    _tell(IriError, f"{kind}: {message}", conn_id)


def _tell(kind: type[IriError], message: str, conn_id: str) -> NoReturn:
    if issubclass(kind, AuthError | PermissionDenied):
        message = f"{message}. The credential is that of the Airflow connection {conn_id!r}"
    mendable = issubclass(kind, Conflict) or not issubclass(kind, _UNMENDABLE)
    # "from None": the message says it all, and a failed job's stderr is not wanted twice in the log.
    raise (AirflowException if mendable else AirflowFailException)(message) from None
