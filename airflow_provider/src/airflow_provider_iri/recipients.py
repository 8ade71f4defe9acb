"""Who is told by a notifier: functions and other notifiers, also by their names alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_iri import lasting

if TYPE_CHECKING:
    from airflow.sdk import Context

Recipient = Any
"""A notifier, or a function of Airflow's context; its import path; or a pair of that and of words for it."""


def require_recipient(each: Recipient) -> None:
    """Refuse what nobody could be told by.

    Raises:
        ValueError: naming it.
    """
    path, words = _named(each)
    if callable(each) or (isinstance(path, str) and "." in path and isinstance(words, Mapping)):
        return
    raise ValueError(
        f"{each!r} tells nobody: give a notifier, a function of the context, or the import path of one, "
        "alone or in a pair with its words"
    )


def told_by(each: Recipient) -> Callable[[Context], object]:
    """What to call."""
    if callable(each):
        return each
    from airflow.sdk.module_loading import import_string

    path, words = _named(each)
    found = import_string(path)
    if isinstance(found, type):
        return found(**words)
    return partial(found, **words) if words else found


async def tell(each: Recipient, context: Context) -> None:
    """Tell it in a triggerer: whoever can wait is awaited, the others get a thread, as all share one loop."""
    one = told_by(each)
    if isinstance(one, BaseNotifier) and type(one).async_notify is not BaseNotifier.async_notify:
        one.context = context
        await one
        return
    if inspect.iscoroutinefunction(one):
        await one(context)
    else:
        await lasting.ask_airflow(one, context)


def name_of(each: Recipient) -> str:
    """For a message."""
    path, _ = _named(each)
    return path if isinstance(path, str) else type(each).__name__


def _named(each: Recipient) -> tuple[Any, Any]:
    if isinstance(each, Sequence) and not isinstance(each, str):
        return tuple(each) if len(each) == 2 else (None, None)
    return each, {}
