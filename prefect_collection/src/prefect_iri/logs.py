"""The log that a person sees: the run's, or the plain one outside of any run."""

from __future__ import annotations

import logging
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger


def run_logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """Prefect's logger of the task or flow run around this call."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("iri")
