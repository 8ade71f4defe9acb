"""Keeps the headers of replies out of httpcore's own log: FirecREST sends the token back in one of them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from contextvars import ContextVar

_ours = ContextVar("ours", default=False)


@contextlib.contextmanager
def hushed() -> Generator[None]:
    """For what is sent within; others in this process who debug with httpcore see theirs as ever."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _without_headers(record: logging.LogRecord) -> bool:
    words = str(record.msg)
    if _ours.get() and words.startswith("receive_response_headers.complete"):
        record.msg = words.partition("[(")[0] + "…"
    return True


for _name in ("http11", "http2"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_without_headers)
