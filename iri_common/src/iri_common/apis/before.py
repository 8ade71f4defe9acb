"""What goes before a request with an effect, and is no part of it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from iri_common.model.errors import IriError
from iri_common.policy.classify import Outcome


@contextlib.contextmanager
def before_asking() -> Generator[None]:
    """What goes wrong in here goes wrong before a request with an effect, and says so."""
    try:
        yield
    except IriError as error:
        if error.outcome is not None and Outcome(error.outcome).may_have_worked:
            error.outcome = Outcome.NOT_SENT
        raise
