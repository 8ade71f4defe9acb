"""``--dry-run``: the exact request, with its secrets masked; nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from iri_common.cli.asking import Ask
from iri_common.cli.exits import Exit
from iri_common.cli.moving import Move
from iri_common.cli.speak import Screen

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility
    from iri_common.facility.preview import Preview
    from iri_common.model.ports import WireRequest

_SCRIPT = "The script"


def show(
    screen: Screen, facility: Facility, ask: Ask, puts: Sequence[Move] = (), gets: Sequence[Move] = ()
) -> int:
    """Show what would be sent, and what would be moved."""
    asked = {name: value for name, value in ask.words.items() if name in {"resource", "guard"}}
    seen = facility.jobs.preview(ask.spec, key=ask.key if ask.named else None, **asked)
    if screen.as_json:
        screen.document(
            {
                "ok": True,
                "exit": int(Exit.OK),
                "dry_run": True,
                "resource_id": seen.resource_id,
                "key": seen.key.identity,
                "generation": seen.key.generation,
                "name": seen.name,
                "request": {
                    "method": seen.method,
                    "url": seen.url,
                    "headers": dict(seen.headers),
                    "body": dict(seen.body),
                },
                "script": seen.script,
                "put": [{"source": each.source, "target": each.target} for each in puts],
                "get": [{"source": each.source, "target": each.target} for each in gets],
            }
        )
        return Exit.OK
    screen.heading("Job")
    screen.facts(
        [
            ("facility", facility.name),
            ("resource", _resource_name(facility, seen.resource_id)),
            ("name", seen.name),
            ("key", seen.key.identity if ask.named else "a new one for every run, as no --key was given"),
            *(("upload", f"{each.source} to {each.target}") for each in puts),
            *(("download", f"{each.source} to {each.target}") for each in gets),
        ]
    )
    screen.heading("Request")
    headers = "".join(f"{name}: {value}\n" for name, value in seen.headers.items())
    screen.code(f"{seen.method} {seen.url}\n{headers}")
    screen.code(json.dumps(_readable(seen), indent=2, ensure_ascii=False), "json")
    if seen.script:
        screen.heading(_SCRIPT)
        screen.code(seen.script, "sh")
    screen.say("Nothing was sent.", "dim")
    return Exit.OK


def show_requests(screen: Screen, seen: Sequence[WireRequest]) -> None:
    """Show requests that are not sent."""
    screen.heading("Request" if len(seen) == 1 else "Requests")
    for each in seen:
        query = f"?{urlencode(each.params)}" if each.params else ""
        headers = "".join(f"{name}: {value}\n" for name, value in each.headers.items())
        screen.code(f"{each.method} {each.url}{query}\n{headers}")
        if each.json is not None:
            screen.code(json.dumps(each.json, indent=2, ensure_ascii=False), "json")
    screen.say("Nothing was sent.", "dim")


def request_words(seen: WireRequest) -> dict[str, Any]:
    """A request, for a program."""
    words = {"method": seen.method, "url": seen.url, "headers": dict(seen.headers), "body": seen.json}
    return {**words, "params": dict(seen.params)}


def _resource_name(facility: Facility, resource_id: str) -> str:
    names = {each.id: each.name for each in facility.status.resources()}
    return names.get(resource_id) or resource_id


def _readable(seen: Preview) -> Any:
    """The body with the job's shell text left out, which is shown by itself; ``--json`` has all of it."""
    return _without(dict(seen.body), seen.script) if seen.script else dict(seen.body)


def _without(value: Any, script: str) -> Any:
    if value == script:
        return f"<{_SCRIPT.lower()}, below>"
    if isinstance(value, dict):
        return {name: _without(each, script) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_without(each, script) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
