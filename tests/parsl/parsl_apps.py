"""What workers are given to do; they import it, so it is light and no test."""

from __future__ import annotations

import os
import time


def where(seconds: float = 0.0) -> str | None:
    """The id of the job that does it."""
    time.sleep(seconds)
    return os.environ.get("IRI_JOB_ID")


def square(x: int) -> tuple[int, str | None]:
    """The square, and the job that found it."""
    return x * x, where()


def fail() -> None:
    """As told."""
    raise ValueError("as told")


def shell(command: str, inputs: tuple = (), stdout: str | None = None) -> str:
    """For a bash app."""
    return command
