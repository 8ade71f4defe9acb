"""What an endpoint starts for each task: a process of its own that calls a function and tells the result.

It knows nothing of this package, as a worker at a real endpoint knows nothing of the service. A task comes
as a line of JSON on standard input, and its result goes as JSON to standard output. When standard input
closes, nobody wants the result any more, or the facility is gone: the process ends itself.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any

_LARGEST = 10 * 1024 * 1024
_GRACE = 4.0


def main() -> None:
    """Do one task."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a function prints is no result
    task: dict[str, Any] = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_watch, daemon=True).start()
    os.environ["GC_TASK_UUID"] = task["id"]
    try:
        function, args, kwargs = (_read(each) for each in _pieces(task["buffer"]))
        said = {"result": _written(function(*args, **kwargs), task["serializers"])}
    except Exception as error:
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        said = {"exception": "".join(traceback.format_exception(type(error), error, trace))}
    answer.write(json.dumps(said))
    answer.flush()
    os._exit(0)  # without waiting for threads that the function has left


def _end(*_: object) -> None:
    raise SystemExit("the task is not wanted any more")


def _watch() -> None:
    # Past Python's own buffer, which holds what came behind the first line: nothing.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _pieces(text: str) -> list[str]:
    found: list[str] = []
    while text:
        size, rest = text.split("\n", 1)
        found.append(rest[: int(size)])
        text = rest[int(size) :]
    return found


def _read(piece: str) -> Any:
    """A function, or data, in any of the formats that Globus Compute has."""
    kind, body = piece.split("\n", 1)
    match kind:
        case "st" | "sd":
            return _defined(*body.split(":", 1))
        case "11":
            return json.loads(body)
        case "00" | "01":
            return _pickler().loads(base64.b64decode(body))
        case "03" | "04":
            return _defined(*_pickler().loads(base64.b64decode(body)))
        case "12" | "13":
            return _any_of(_pieces(body))
    raise ValueError(f"Deserialization failed: Invalid header: {kind} in data payload")


def _any_of(pieces: list[str]) -> Any:
    for piece in pieces:
        try:
            return _read(piece)
        except Exception as error:
            last = error
    raise last


def _defined(name: str, source: str) -> Any:
    space: dict[str, Any] = {}
    exec(source, space)
    return space[name]


def _pickler() -> Any:
    try:
        import dill  # type: ignore[import-not-found]
    except ImportError:
        import pickle

        return pickle
    return dill


def _written(value: Any, serializers: list[str]) -> str:
    for name in serializers or ["DillDataBase64"]:
        try:
            if name.rpartition(".")[2] == "JSONData":
                text = "11\n" + json.dumps(value)
            else:
                text = "00\n" + base64.encodebytes(_pickler().dumps(value)).decode()
            break
        except Exception:
            continue
    else:
        raise ValueError("Serialization failed: All strategies failed.")
    if len(text) > _LARGEST:
        raise ValueError(f"Task result of {len(text)}B exceeded current limit of {_LARGEST}B")
    return text


if __name__ == "__main__":
    main()
