"""How a command ends: every error in words and with its exit code, every interrupt told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer

from iri_common.cli.exits import Exit, exit_of_error
from iri_common.cli.speak import Screen
from iri_common.model.errors import IriError

DEBUG = "IRI_DEBUG"


class Interrupted(BaseException):
    """SIGINT or SIGTERM came. Not an Exception: nothing may take it for an error and go on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED


@contextmanager
def interruptible() -> Generator[None]:
    """SIGINT and SIGTERM raise :class:`Interrupted` in here."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def ended(screen: Screen, work: Callable[[], int]) -> NoReturn:
    """Do the work of a command and end it with its code; an error or interrupt is told and has its own."""
    try:
        with interruptible():
            code = work()
    except IriError as error:
        code = tell_error(screen, error)
    except Interrupted as stop:
        code = stop.code
        screen.say("Interrupted.", "yellow")
        if screen.as_json:
            screen.document({"ok": False, "exit": int(code), "interrupted": True})
    except BrokenPipeError:  # `iri jobs | head`
        code = unread()
    raise typer.Exit(int(code))


def unread() -> Exit:
    """Nobody reads one of the streams, or both: nothing more is written to it; gives the code for that."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            # What is left to be written would be an error again, at the end of the interpreter.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Exit.UNREAD


def tell_error(screen: Screen, error: IriError, *, quiet: bool = False) -> Exit:
    """An error in words, and as a document for those who read one (not if ``quiet``); gives its code.

    ``IRI_DEBUG=1`` lets it through with its traceback.
    """
    if os.environ.get(DEBUG):
        raise error
    code = exit_of_error(error)
    screen.complain(str(error))
    if screen.as_json and not quiet:
        screen.document({"ok": False, "exit": int(code), "error": error_words(error)})
    return code


def error_words(error: IriError) -> dict[str, Any]:
    """An error for a program: what is known of it."""
    named = ("facility", "operation", "request_id", "status")
    context = {name: getattr(error, name) for name in named if getattr(error, name) is not None}
    return {"kind": type(error).__name__, "message": error.message, "transient": error.transient, **context}
