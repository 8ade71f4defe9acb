"""What v1 puts on the wire in another way than v2, and what it does not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_iri_requests import CALLS, FILE_CALLS, ODD, SPEC, TASK, Wire, dialect

from iri_common.apis.iri import V1, V2, version_of
from iri_common.model.errors import AmbiguousReply, NotOffered, Refused
from iri_common.model.files import Compression
from iri_common.model.outcome import Done, Pending

# As the API's v1 document has them.
VERBS = {
    **dict.fromkeys(["ls", "head", "tail", "view", "checksum", "file", "stat", "download"], "GET"),
    **{"rm": "DELETE", "chmod": "PUT", "chown": "PUT"},
    **dict.fromkeys(["mkdir", "symlink", "cp", "mv", "compress", "extract"], "POST"),
}
LACKING = {"whoami", "locations", "endpoints"}


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("https://api.alcf.anl.gov/api/v1", V1),
        ("https://api.alcf.anl.gov/api/v1/", V1),
        ("https://pnnl.example/v1", V1),
        ("https://gateway.example/iri/prod/API/V1//", V1),
        ("https://api.iri.nersc.gov/api/v2", V2),
        ("https://amsc-open.s3m.olcf.ornl.gov/", V2),
        ("https://v1.example", V2),
        ("https://host.example/v1/facility", V2),
        ("https://host.example/api/v10", V2),
        ("https://host.example/api/v2?was=/v1", V2),
        ("https://host.example/api/v2#/v1", V2),
        ("", V2),
    ],
)
def test_the_last_segment_tells_the_version(url, version):
    assert version_of(url) is version


@given(st.text())
def test_any_other_url_speaks_v2(text):
    base = f"https://host.example/api/{text}"
    assert version_of(base) in {V1, V2}
    assert version_of(f"{base}/v2") is V2 or {"?", "#"} & set(text)


def test_every_file_operation_has_its_verb():
    assert {name: V1.verbs.get(name, "POST") for name, _, _ in FILE_CALLS} == VERBS
    assert V2.verbs == {}


@pytest.mark.parametrize(("operation", "call", "body"), FILE_CALLS, ids=[case[0] for case in FILE_CALLS])
async def test_a_file_operation_of_v1(operation, call, body):
    wire = Wire(TASK)
    pending = await call(dialect(wire, V1).files)
    assert isinstance(pending, Pending)
    (request,) = wire.requests
    assert (request.method, request.url) == (
        VERBS[operation],
        f"http://door.example/api/v1/filesystem/{operation}/r",
    )
    words = {True: "true", False: "false"}
    if request.method in {"GET", "DELETE"}:
        assert dict(request.params) == {
            name: words[value] if isinstance(value, bool) else str(value) for name, value in body.items()
        }
        assert request.json is None
    else:
        plain = {name: str(value).removeprefix("urn:doe-iri:compression:") for name, value in body.items()}
        assert tuple(request.params) == ()
        assert {name: str(value) for name, value in request.json.items()} == plain


@pytest.mark.parametrize("compression", Compression)
async def test_a_compression_is_a_word(compression):
    wire = Wire(TASK)
    await dialect(wire, V1).files.extract("r", "/s", "/t", compression=compression)
    assert wire.requests[0].json["compression"] == compression.value


async def test_an_upload_is_the_same_in_both():
    wires = {version: Wire(TASK) for version in (V1, V2)}
    for version, wire in wires.items():
        await dialect(wire, version).files.upload("r", ODD, b"\x00")
    first, second = (wire.requests[0] for wire in wires.values())
    assert (first.method, first.params, first.files) == (second.method, second.params, second.files)
    assert first.json is second.json is None


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body", "value"),
    [case[1:] for case in CALLS if case[0] not in LACKING],
    ids=[case[0] for case in CALLS if case[0] not in LACKING],
)
async def test_what_both_ask_in_the_same_way(call, method, path, params, body, value):
    wire = Wire(value)
    await call(dialect(wire, V1))
    (request,) = wire.requests
    assert (request.method, request.url) == (method, f"http://door.example/api/v1{path}")
    assert (tuple(request.params), request.json) == (params, body)


@pytest.mark.parametrize("call", [case[1] for case in CALLS if case[0] in LACKING])
async def test_what_v1_lacks_is_said_without_asking(call):
    wire = Wire([])
    with pytest.raises(NotOffered, match=r"the IRI API v1 .* has no .+; .+") as caught:
        await call(dialect(wire, V1))
    assert (wire.requests, caught.value.facility) == ([], "door")
    assert caught.value.operation


async def test_no_key_goes_where_none_is_known():
    wire = Wire({"id": "1"})
    answer = await dialect(wire, V1).jobs.submit("r", SPEC, "k")
    assert answer.value.replayed is None
    await dialect(wire, V1).jobs.update("r", "1", {}, "k")
    assert [dict(request.headers) for request in wire.requests] == [{}, {}]


async def test_an_update_without_a_known_key_is_not_repeated():
    wire = Wire(lost=True)
    with pytest.raises(AmbiguousReply):
        await dialect(wire, V1).jobs.update("r", "1", {}, "k")
    assert len(wire.requests) == 1


async def test_no_422_of_v1_speaks_of_a_key():
    wire = Wire({"detail": "no executable"}, status=422)
    with pytest.raises(Refused) as caught:
        await dialect(wire, V1).jobs.submit("r", SPEC, "k")
    assert caught.value.outcome == "invalid"


@pytest.mark.parametrize(
    ("version", "value", "path", "user"),
    [
        (V2, {"username": "u"}, "/account/whoami", "u"),
        (V1, [], "/account/projects", None),
        (V1, [{"id": "p", "name": "n", "user_ids": ["u"]}], "/account/projects", None),
    ],
)
async def test_a_token_is_checked_by_one_request(version, value, path, user):
    wire = Wire(value)
    assert await dialect(wire, version).accounts.check_token() == Done(user)
    assert [request.url for request in wire.requests] == [f"http://door.example/api/{version.name}{path}"]


def test_grades():
    first, second = dialect(Wire(), V1), dialect(Wire(), V2)
    assert (first.name, first.grades.settle) == ("iri", "lookup")
    assert (second.name, second.grades.settle) == ("iri", "native")
    assert first.grades.upload_limit == second.grades.upload_limit
