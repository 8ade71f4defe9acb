"""Whatever slurmrestd or S3M answers, a caller sees a value or an IriError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slurm_wire import SPEC, dialect

from iri_common.model.errors import IriError
from iri_common.model.outcome import Done

WORDS = [
    *(
        "job_id",
        "jobs",
        "errors",
        "error",
        "error_number",
        "status",
        "name",
        "user_name",
    ),
    *(
        "job_state",
        "state",
        "current",
        "reason",
        "exit_code",
        "return_code",
        "signal",
        "id",
    ),
    *(
        "set",
        "infinite",
        "number",
        "time",
        "end",
        "start",
        "state_reason",
        "standard_output",
    ),
    *(
        "partitions",
        "partition",
        "reservations",
        "flags",
        "start_time",
        "end_time",
        "token",
        "username",
    ),
    *(
        "plannedExpiration",
        "permissions",
        "resources",
        "downtimes",
        "resourceName",
        "attributes",
        "scheduled",
        "message",
    ),
    *("result",),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=6)
    | st.sampled_from(["RUNNING", "FAILED", "MAINT", "2026-01-01T00:00:00Z", "7", "%j"])
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=15,
)
KEYS = st.sampled_from(["jobs", "partitions", "reservations", "resources", "token", ""])
CALLS = [
    lambda d: d.jobs.submit("cluster", SPEC, "k"),
    lambda d: d.jobs.status("cluster", "7"),
    lambda d: d.jobs.list("cluster", offset=0, limit=1, historical=True, names=True),
    lambda d: d.jobs.output_paths("cluster", "7"),
    lambda d: d.jobs.cancel("cluster", "7"),
    lambda d: d.jobs.update("cluster", "7", {}, None),
    lambda d: d.status.resources(),
    lambda d: d.status.incidents(),
    lambda d: d.accounts.whoami(),
    lambda d: d.accounts.projects(),
    lambda d: d.files.ls("cluster", "/p"),
    lambda d: d.storage.locations("cluster"),
    lambda d: d.operations.forget("t"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("site", [None, "s3m"])
@settings(max_examples=20, deadline=None)
@given(value=replies, key=KEYS, status=st.sampled_from([200, 200, 200, 400, 404, 500]))
async def test_any_json(call, site, value, key, status):
    door, _ = dialect({"": (status, {key: [value]} if key else value)}, site=site, user="u")
    with contextlib.suppress(IriError):
        assert isinstance(await call(door), Done)


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=10, deadline=None)
@given(body=st.binary(max_size=40))
async def test_any_bytes(call, body):
    door, _ = dialect({"": (200, body)})
    with contextlib.suppress(IriError):
        assert isinstance(await call(door), Done)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["jobs", "errors", "status", "state", "exit_code", "error"])
async def test_nesting_as_deep_as_json_reads(call, key):
    depth = 300
    body = (f'{{"{key}": ' * depth + "1" + "}" * depth).encode()
    for each in (body, b'{"jobs": [{"job_id": 7, "%s": %s}]}' % (key.encode(), body)):
        door, _ = dialect({"": (200, each)})
        with contextlib.suppress(IriError):
            assert isinstance(await call(door), Done)
