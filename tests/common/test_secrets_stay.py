"""Whatever a facility repeats of a submit: no error, log, ledger or dry run tells a secret, in no packing."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fuzz_doors import SPECIAL
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from secret_kit import parts_left

from iri_common.apis.kind import ApiWords
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.static import StaticToken
from iri_common.facility.dialects import api_kind
from iri_common.facility.preview import MASK, masked, preview
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.jobs.ledger import FileLedger
from iri_common.jobs.submit import DoorMemory, Submitter
from iri_common.jobside.guard import Guard
from iri_common.jobside.wrap import wrap_spec
from iri_common.model.errors import IriError
from iri_common.model.key import JobKey
from iri_common.model.outcome import Pending
from iri_common.model.ports import Token, WireReply, WireRequest
from iri_common.model.spec import JobSpec
from iri_common.model.submission import Submission
from iri_common.policy.retry import Limits

TOKEN = "QZXJ.JQQXZ/QZ+XJ.JXZQ"
KEY = JobKey.of("a test", "of secrets")
SPEC = {"executable": "/bin/true", "name": "n", "directory": "/d"}

secrets = st.text("QZXJ'\"\\/+%&=$`\n ~ö", min_size=8, max_size=24).filter(
    lambda text: len(text.strip()) >= 6 and sum(map(text.count, "QZXJ")) >= 4
)


@dataclass(frozen=True)
class Place:
    """An API and the site that it is at.

    Attributes:
        api: Its name.
        words: Of a profile.
        submit: What only the URL of a submit ends with.
        accepted: Answers the submit where that becomes a task.
        failed: The bodies of a task that failed, by what is told.
    """

    api: str
    submit: str
    words: ApiWords = field(default_factory=ApiWords)
    accepted: Mapping[str, object] | None = None
    failed: tuple[Callable[[str], object], ...] = ()


IRI = "/compute/job/cluster"
PLACES = {
    "iri": Place("iri", IRI),
    **{site: Place("iri", IRI, ApiWords(site=site)) for site in ("alcf", "olcf", "nersc", "slac")},
    "iri, by a task": Place(
        "iri",
        IRI,
        accepted={"task_id": "7", "task_uri": "https://elsewhere"},
        failed=(
            lambda words: {"id": "7", "status": "failed", "result": {"output": f"Error: {words}"}},
            lambda words: {"id": "7", "status": "failed", "result": {"error": words}},
            lambda words: {"id": "7", "status": "canceled", "result": {"output": f"Error: {words}"}},
        ),
    ),
    "superfacility": Place("superfacility", "/compute/jobs/cluster"),
    "superfacility, by a task": Place(
        "superfacility",
        "/compute/jobs/cluster",
        accepted={"task_id": "7", "status": "OK", "error": None},
        failed=(
            lambda words: {"id": "7", "status": "failed", "result": words},
            lambda words: {
                "id": "7",
                "status": "completed",
                "result": json.dumps({"status": "error", "jobid": None, "error": words}),
            },
        ),
    ),
    "firecrest": Place("firecrest", "/compute/alps/jobs"),
    "slurm": Place("slurm", "/job/submit", ApiWords(user="u", version="v0.0.41")),
    "s3m": Place("slurm", "/job/submit", ApiWords(site="s3m", version="v0.0.43")),
}


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield name
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)


def repeated(request: WireRequest) -> list[str]:
    """What a service may repeat of a request."""
    body = request.json if request.json is not None else dict(request.form or {})
    sent = {"body": body, "headers": dict(request.headers)}
    return [
        json.dumps(sent),
        json.dumps(sent, ensure_ascii=False).replace("/", "\\/"),
        json.dumps(json.dumps(sent)),
        str([sent]),
        urlencode(request.form or {"body": json.dumps(body)}),
        " ".join(sorted(texts_of(sent), key=len, reverse=True)),
        "x " * 250 + json.dumps(sent),
    ]


def told_in(words: str) -> list[tuple[str, object]]:
    """The errors, by content type, in which services tell such words."""
    return [
        ("application/json", {"detail": words}),
        ("application/problem+json", {"title": "bad", "detail": words}),
        ("application/json", {"detail": [{"loc": ["body"], "msg": "bad", "input": words}]}),
        ("application/json", {"message": words, "errorType": "error"}),
        ("application/json", {"status": "ERROR", "error": words}),
        ("application/json", {"errors": [{"error_number": 2001, "error": words, "description": words}]}),
        ("text/plain", words),
    ]


class Echo:
    """A facility that repeats what it was sent, in one of the ways."""

    def __init__(self, place: Place, status: int, packing: int, framing: int) -> None:
        self.place, self.status, self.packing, self.framing = place, status, packing, framing
        self.words = ""

    async def send(self, request: WireRequest) -> WireReply:
        if request.url.endswith(self.place.submit) and request.method == "POST":
            self.words = repeated(request)[self.packing % len(repeated(request))]
            if self.place.accepted is not None:
                return self.reply(200, self.place.accepted)
            kind, body = told_in(self.words)[self.framing % len(told_in(""))]
            return self.reply(self.status, body, kind)
        if "/task" in request.url:
            failed = self.place.failed
            return self.reply(200, failed[self.framing % len(failed)](self.words))
        told = SPECIAL[self.place.api].told
        nothing: list[object] = []
        return self.reply(200, next((told[end] for end in told if request.url.endswith(end)), nothing))

    def reply(self, status: int, body: object, kind: str = "application/json") -> WireReply:
        content = body if isinstance(body, str) else json.dumps(body)
        return WireReply(status, {"content-type": kind}, content.encode())

    async def close(self) -> None: ...


def dialect_at(place: Place, wire: Echo) -> Any:
    kind = api_kind(place.api)
    session = Session(
        "https://door.example/api/v2",
        wire,
        TokenKeeper(StaticToken(TOKEN), wire.send),
        Budget(per_second=1e9),
        rules=kind.rules,
        label="door",
        limits=Limits(attempts=2, first_delay=0.0),
        credential=kind.credential(place.words),
    )
    return kind.make(session, place.words)


def submission(place: Place, environment: Mapping[str, str], guarded: bool) -> Submission:
    spec = JobSpec.of({**SPEC, "environment": dict(environment)})
    return Submission(spec, SPECIAL[place.api].resource, KEY, guarded=guarded, guard_root="/guards")


def shown(error: BaseException) -> str:
    return f"{error} {error!r} {vars(error)} {pickle.dumps(error).decode('latin-1')}"


def untold(text: str, *hidden: str, beside: str = "") -> None:
    for secret in hidden:
        if left := secret in text or parts_left(secret, text, beside):
            pytest.fail(f"of {secret!r} there is {left} in {text[:2000]!r}")


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    one=secrets,
    other=secrets,
    status=st.sampled_from([200, 400, 401, 403, 404, 409, 422, 500, 502]),
    packing=st.integers(0, 6),
    framing=st.integers(0, 6),
)
def test_what_is_repeated_is_not_told(caplog, place, guarded, one, other, status, packing, framing) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    asked = submission(place, {"ONE": one, "OTHER": other}, guarded)
    spec: Mapping[str, Any] = asked.wire_spec()
    if guarded:
        spec = wrap_spec(spec, Guard(KEY, "/guards", asked.digest))

    async def submit() -> None:
        dialect = dialect_at(place, Echo(place, status, packing, framing))
        answer = await dialect.jobs.submit(asked.resource_id, spec, "a key")
        while isinstance(answer, Pending):
            answer = await dialect.operations.check(answer)
        untold(repr(answer), one, other, TOKEN)

    try:
        asyncio.run(submit())
    except IriError as error:
        untold(shown(error), one, other, TOKEN)
    untold(caplog.text, one, other, TOKEN)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_no_ledger_keeps_what_a_refusal_repeats(place: Place, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secret = 'it\'s "QZXJ"\n/ÖJXZQ'

    async def submit(packing: int) -> None:
        dialect = dialect_at(place, Echo(place, 400, packing, 0))
        submitter = Submitter(
            dialect, FileLedger(tmp_path / f"{packing}"), DoorMemory(), "door.example", "door"
        )
        with pytest.raises(IriError) as caught:
            # One whose fate is open is looked for, in vain; the others take what a busy machine takes.
            async with asyncio.timeout(1.0 if place.failed else 60.0):
                await submitter.submit(submission(place, {"PW": secret}, guarded=True))
        untold(shown(caught.value), secret, TOKEN)

    ways = range(1 if place.failed else 7)
    for packing in ways:
        try:
            asyncio.run(submit(packing))
        except TimeoutError:
            assert place.failed
    kept = [each.read_text() for each in tmp_path.rglob("*") if each.is_file()]
    assert len(kept) >= len(ways)
    for text in (*kept, caplog.text):
        untold(text, secret, TOKEN)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@settings(max_examples=6, deadline=None)
@given(secret=secrets)
def test_a_dry_run_masks_an_environment(place: Place, guarded: bool, secret: str) -> None:
    told = dry_run(place, guarded, secret)
    untold(told, secret, TOKEN, beside=dry_run(place, guarded, "another-1!"))
    assert MASK in told


def dry_run(place: Place, guarded: bool, secret: str) -> str:
    asked = masked(submission(place, {"PW": secret}, guarded))
    dialect = dialect_at(place, Echo(place, 200, 0, 0))
    if place.api == "firecrest":  # what is sent depends on its systems
        asyncio.run(dialect.status.resources())
    submitter = Submitter(dialect, FileLedger(Path("/nowhere")), DoorMemory(), "door.example", "door")
    carried = api_kind(place.api).credential(place.words)(Token(MASK))
    seen = preview(asked, submitter.request(asked), carried)
    return json.dumps({"headers": dict(seen.headers), "body": seen.body, "script": seen.script}) + repr(seen)
