"""Processes of their own: what is measured in one is not disturbed by what serves it in another."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

# A fork would take along the threads' locks and the memory of whoever measured before.
_CLEAN = multiprocessing.get_context("spawn")
_START_SECONDS = 30.0


def alone(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a fresh process and give its result."""
    with ProcessPoolExecutor(1, mp_context=_CLEAN) as pool:
        return pool.submit(function, *args).result()


def together(calls: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Make calls side by side, each in a fresh process: name to (function, *arguments)."""
    with ProcessPoolExecutor(len(calls), mp_context=_CLEAN) as pool:
        futures = {name: pool.submit(*call) for name, call in calls.items()}
        return {name: future.result() for name, future in futures.items()}


@contextlib.contextmanager
def served(function: Callable[..., None], *args: Any) -> Iterator[Any]:
    """Run a server in a process until the block ends; gives what it said first through its pipe.

    Args:
        function: Called with one end of a pipe and the arguments; sends one object when it is ready.
        args: The arguments.
    """
    here, there = _CLEAN.Pipe()
    process = _CLEAN.Process(target=function, args=(there, *args), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(_START_SECONDS):
            raise RuntimeError(f"{function.__name__} did not start")
        yield here.recv()
    finally:
        here.close()
        process.terminate()
        process.join(_START_SECONDS)


def end_with_parent(pipe: Connection) -> None:
    """On the running loop: leave when whoever started this process is gone, however it went."""
    asyncio.get_running_loop().add_reader(pipe.fileno(), os._exit, 0)
