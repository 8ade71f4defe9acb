"""What runs at an endpoint of Globus Compute: a command or a function, once for its key.

It travels as this text, and needs nothing there but Python 3.8. Its first act is to link a file that holds
the id of its task to the owner file of its key: a double sees that of another task, tells which, and ends.
"""

from __future__ import annotations
import __future__

import contextlib
import json
import linecache
import os
import shutil
import signal
import subprocess
import time
import uuid
from typing import Any

LARGEST = 8_000_000  # characters of a result that is kept: the service itself takes 10 MB
GRACE = 5.0  # seconds between the request to end and the end


def iri_task(ask: dict[str, Any]) -> Any:
    """Do what is asked, unless a task with the same key does or did, or only what it left is wanted."""
    # An old endpoint does not tell a task its id: a double then knows that it is one, but not of whom.
    me = os.environ.get("GC_TASK_UUID") or f"node:{uuid.uuid4()}"
    folder = os.path.join(os.path.expanduser(str(ask["root"])), str(ask["identity"]))
    stem = os.path.join(folder, f"{ask['generation']}.task")
    if ask["recall"]:
        return _kept(stem) or {"iri": 1, "double": ""}
    os.makedirs(folder, mode=0o700, exist_ok=True)
    owner = _owner(stem, me, ask["digest"])
    kept = _kept(stem)
    if kept is not None:
        return kept
    if owner != me:
        return {"iri": 1, "double": "" if owner.startswith("node:") else owner}
    done = {"shell": _shell(ask, stem)} if "command" in ask else {"value": _call(ask)}
    reply = {"iri": 1, **done}
    # The endpoint has a way of its own for more than plain data.
    return reply if _plain(stem, reply) else done["value"]


def _owner(stem: str, me: str, digest: str) -> str:
    mine = f"{stem}.{uuid.uuid4()}"
    with open(mine, "w") as file:
        file.write(f"{me} {digest}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # The error says nothing: over NFS the reply to a link that was made may be lost.
        with contextlib.suppress(FileExistsError):
            os.link(mine, f"{stem}.owner")
        with open(f"{stem}.owner") as file:
            owner, then = file.read().split()
    finally:
        os.unlink(mine)
    if then != digest:
        raise ValueError(f"the key was used for something else before: see {stem}.owner")
    return owner


def _kept(stem: str) -> Any:
    with contextlib.suppress(FileNotFoundError), open(f"{stem}.result") as file:
        return json.load(file)
    return None


def _plain(stem: str, reply: dict[str, Any]) -> bool:
    """Whether it is plain data; it is then kept."""
    try:
        text = json.dumps(reply)
    except (TypeError, ValueError, RecursionError):
        return False
    if len(text) <= LARGEST:
        mine = f"{stem}.{uuid.uuid4()}"
        with open(mine, "w") as file:
            file.write(text)
        os.replace(mine, f"{stem}.result")
    return True


def _call(ask: dict[str, Any]) -> Any:
    name, source = ask["name"], ask["source"]
    where = f"<{name}>"
    linecache.cache[where] = (len(source), None, source.splitlines(True), where)  # for tracebacks
    space: dict[str, Any] = {"__name__": "iri_call"}
    # Annotations may name what is imported only where the function was written.
    code = compile(source, where, "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, space)
    return space[name](*ask["args"], **ask["kwargs"])


def _shell(ask: dict[str, Any], stem: str) -> dict[str, Any]:
    paths = [os.path.expanduser(ask[name] or f"{stem}.{name}") for name in ("stdout", "stderr")]
    shell = shutil.which("bash") or "/bin/sh"
    timed_out = False
    with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
        child = subprocess.Popen(
            [shell, "-c", ask["command"]],
            cwd=os.path.expanduser(ask["directory"]) if ask["directory"] else None,
            env={**os.environ, **ask["environment"]},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            child.wait(ask["seconds"])
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end(child)
    return {
        "exit_code": child.returncode,
        "timed_out": timed_out,
        "stdout": _tail(paths[0], ask["tail"]),
        "stderr": _tail(paths[1], ask["tail"]),
        "stdout_path": os.path.abspath(paths[0]),
        "stderr_path": os.path.abspath(paths[1]),
    }


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, and what it has begun, which may outlive its shell."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            child.poll()
            os.killpg(child.pid, 0)  # is anybody left?
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)


def _tail(path: str, size: int) -> str:
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode("utf-8", "replace")
