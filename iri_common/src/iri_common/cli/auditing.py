"""``iri audit``: the log of what was done, for a person or a program."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from iri_common.cli.asking import key_of
from iri_common.cli.exits import Exit
from iri_common.cli.speak import Screen, elapsed, plain, size
from iri_common.jobs.audit import AuditLog
from iri_common.model.counts import agreed, many
from iri_common.model.errors import UsageError
from iri_common.model.grant import Verb
from iri_common.policy.spending import Fate, acts

_AGO = re.compile(r"(\d+)([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
Act = Mapping[str, Any]


def show(screen: Screen, since: str, profile: str | None, verb: str | None, key: str | None) -> int:
    """The acts that fit, the oldest first."""
    if verb is not None and verb not in set(Verb):
        raise UsageError(f"--verb is one of {', '.join(Verb)}, not {verb!r}")
    identity = key_of(key).identity if key else None
    log = AuditLog()
    found = [
        each
        for each in acts(log.entries(_moment(since, time.time())))
        if profile in (None, _door(each))
        and verb in (None, each["verb"])
        and identity in (None, str(each.get("key", "")).rpartition(".")[0])
    ]
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "acts": found})
        return Exit.OK
    doors = {_door(each) for each in found}
    if found:
        # At 80 columns each one counts: a door that is always the same is told once, below.
        columns = ("TIME", *(("PROFILE",) if len(doors) > 1 else ()), "VERB", "CAME TO", "WHAT")
        screen.table(columns, [_row(each, len(doors) > 1) for each in found], states=("CAME TO",))
    acted = many(len(found) or "No", "act")
    where = f" at {doors.pop()}" if len(doors) == 1 else ""
    screen.say(f"{acted}{where} since {_when(_moment(since, time.time()))}, in {log.directory}.", "dim")
    return Exit.OK


def _row(act: Act, doors: bool) -> tuple[str, ...]:
    door = (_door(act),) if doors else ()
    words = (_when(act["at"]), *door, str(act["verb"]), str(act["fate"]), f"{_what(act)}\nfor {_whose(act)}")
    return tuple(map(plain, words))


def _door(act: Act) -> str:
    return str(act.get("profile") or act.get("facility", ""))


def _what(act: Act) -> str:
    """What it was about, and why it came to nothing."""
    if act["fate"] == Fate.DENIED and "spec" not in act:
        return str(act.get("why", ""))
    about = _job(act) if "spec" in act else " ".join(map(str, act.get("paths", ()))) or _named(act)
    if "bytes" in act:
        about += f" ({many(act.get('files', 0), 'file')}, {size(float(act['bytes']))}, {act.get('road', '')})"
    return f"{about}: {act['why']}" if act.get("why") else about


def _named(act: Act) -> str:
    if "job" in act:
        return f"job {act['job']}"
    came = f"as {act['task']}" if "task" in act else ""
    return " ".join(map(str, filter(None, (act["operation"], act.get("resource"), came))))


def _whose(act: Act) -> str:
    """Who asked, as an engine names it; a key that was made up for one ask tells nobody anything."""
    key, engine = str(act.get("key", "")), act.get("engine")
    who = f"{act.get('user', '')}@{act.get('host', '')}"
    if key and not key.startswith("once/"):
        return key
    if isinstance(engine, Mapping):
        return f"{'/'.join(map(str, cast('Act', engine).values()))}, {who}"
    return who


def _job(act: Act) -> str:
    spec: Mapping[str, Any] = act["spec"]
    words = [str(spec.get("name") or spec.get("executable", ""))]
    for one, more in (("node", "nodes"), ("process", "processes")):
        words += [f"{spec[more]} {agreed(spec[more], one, more)}"] if more in spec else []
    words += [elapsed(float(spec["seconds"]))] if "seconds" in spec else []
    words += [f"array {spec['array']}"] if "array" in spec else []
    words += [f"= {many(format(act['hours'], '.3g'), 'node hour')}"] if "hours" in act else []
    words += [f"as job {act['job']}"] if "job" in act else []
    return " ".join(words)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%m-%d %H:%M:%S")  # by the clock on the wall


def _moment(text: str, now: float) -> float:
    """Seconds since the epoch."""
    if match := _AGO.fullmatch(text):
        return now - int(match[1]) * _SECONDS[match[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(f"--since is a time such as 90m, 12h, 7d or 2026-11-22, not {text!r}") from None
