"""The slurm dialect at the two faces of a facility: slurmrestd in all its versions, and S3M."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from iri_common import Facility
from iri_common.apis.kind import ApiWords
from iri_common.apis.slurm import API, SlurmDialect
from iri_common.apis.slurm.accounts import S3mAccounts
from iri_common.auth.keeper import TokenKeeper
from iri_common.auth.static import StaticToken
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import AuthError, Conflict, NotFound, Refused, UsageError
from iri_common.model.facility import Availability
from iri_common.model.outcome import Done
from iri_common.model.state import JobState
from iri_common.model.streams import StreamState
from iri_local_facility import LocalFacility

VERSIONS = [f"v0.0.{number}" for number in (38, 40, 41, 42, 43, 44)]
CLUSTER = "cluster"


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16, kill_grace=0.2, slurm_min_job_age=1) as facility:
        yield facility


@pytest.fixture
async def transport() -> AsyncIterator[HttpxTransport]:
    transport = HttpxTransport(WireSettings())
    yield transport
    await transport.close()


def session_at(url: str, transport: HttpxTransport, token: str, words: ApiWords) -> Session:
    keeper = TokenKeeper(StaticToken(token), transport.send)
    credential = API.credential(words)
    return Session(
        url, transport, keeper, Budget(per_second=1e9), rules=API.rules, label="place", credential=credential
    )


def slurm(place: LocalFacility, transport: HttpxTransport, version: str | None, token: str | None = None):
    words = ApiWords(user=place.slurm_user, version=version)
    return SlurmDialect(session_at(place.slurm_url, transport, token or place.slurm_token, words), words)


def s3m_session(place: LocalFacility, transport: HttpxTransport, token: str | None = None) -> Session:
    return session_at(place.s3m_url, transport, token or place.s3m_token, ApiWords(site="s3m"))


@pytest.fixture(params=[*VERSIONS, "s3m"])
def door(request: pytest.FixtureRequest, place: LocalFacility, transport: HttpxTransport) -> SlurmDialect:
    if request.param == "s3m":
        return SlurmDialect(s3m_session(place, transport), ApiWords(site="s3m"))
    return slurm(place, transport, request.param)


def shell(place: LocalFacility, text: str, **words: object) -> dict:
    spec = {"executable": "/bin/sh", "arguments": ["-c", text], "name": f"face {time.time_ns()}"}
    return {**spec, "directory": str(place.home), **words}


async def ended(door: SlurmDialect, job: str):
    until = time.monotonic() + 60
    while not (status := (await door.jobs.status(CLUSTER, job)).value).state.terminal:
        assert time.monotonic() < until
        time.sleep(0.02)  # noqa: ASYNC251 - nothing else is on this loop
    return status


async def live(door: SlurmDialect) -> set[str]:
    rows = (await door.jobs.list(CLUSTER, offset=0, limit=9, historical=False, names=False)).value
    return {row.job_id for row in rows}


@pytest.mark.parametrize(
    ("text", "state", "code"),
    [("exit 0", JobState.COMPLETED, 0), ("exit 3", JobState.FAILED, 3), ("kill -9 $$", JobState.FAILED, 137)],
)
async def test_ends_in_every_shape(door, place, text, state, code):
    job = (await door.jobs.submit(CLUSTER, shell(place, text), None)).value.job_id
    status = await ended(door, job)
    assert (status.state, status.exit_code) == (state, code)
    assert abs(status.time - time.time()) < 60


async def test_a_job_that_waits_is_listed_and_canceled(door, place):
    asked = shell(place, "sleep 60", resources={"node_count": 16})
    first, second = [(await door.jobs.submit(CLUSTER, asked, None)).value.job_id for _ in range(2)]
    rows = (await door.jobs.list(CLUSTER, offset=0, limit=9, historical=False, names=True)).value
    assert {row.name for row in rows if row.job_id in (first, second)} == {asked["name"]}
    for job in (second, first):
        assert await door.jobs.cancel(CLUSTER, job) == Done(None)
        assert (await ended(door, job)).state is JobState.CANCELED
        assert await door.jobs.cancel(CLUSTER, job) == Done(None)
    until = time.monotonic() + 60
    while {first, second}.intersection(await live(door)):  # the queue hears of it after the records at S3M
        assert time.monotonic() < until


async def test_where_output_goes(door, place):
    asked = shell(place, "echo said", stdout_path="o-%j", stderr_path=str(place.home / "e"))
    job = (await door.jobs.submit(CLUSTER, asked, None)).value.job_id
    await ended(door, job)
    paths = (await door.jobs.output_paths(CLUSTER, job)).value
    assert paths == {"stdout": str(place.home / f"o-{job}"), "stderr": str(place.home / "e")}
    assert (place.home / f"o-{job}").read_text() == "said\n"


async def test_a_job_that_slurmctld_forgot(door, place):
    job = (await door.jobs.submit(CLUSTER, shell(place, "exit 0"), None)).value.job_id
    await ended(door, job)
    time.sleep(1.5)  # noqa: ASYNC251
    assert (await door.jobs.status(CLUSTER, job)).value.state is JobState.COMPLETED
    assert (await door.jobs.status(CLUSTER, "7654321")).value.state is JobState.MISSING
    with pytest.raises(NotFound):
        await door.jobs.cancel(CLUSTER, "7654321")


async def test_a_refusal_says_why(door, place):
    with pytest.raises(Refused, match="partition"):
        await door.jobs.submit(CLUSTER, shell(place, "true", attributes={"queue_name": "nope"}), None)


async def test_the_newest_version_is_found(place, transport):
    door = slurm(place, transport, None)
    place.reset_requests()
    await door.jobs.list(CLUSTER, offset=0, limit=9, historical=False, names=False)
    assert [each["path"] for each in place.requests()] == ["/slurm/v0.0.44/ping", "/slurm/v0.0.44/jobs"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_bad_token_in_every_version(place, transport, version):
    stranger = slurm(place, transport, version, "no.such.token")
    with pytest.raises(AuthError):
        await stranger.jobs.status(CLUSTER, "1")
    with pytest.raises(AuthError):
        await stranger.accounts.check_token()
    with pytest.raises(AuthError):
        await stranger.status.resources()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_the_cluster_has(place, transport, version):
    door = slurm(place, transport, version)
    resources = (await door.status.resources()).value
    assert [each.id for each in resources if each.offers("compute")] == [CLUSTER]
    assert {each.status for each in resources} == {Availability.UP}
    assert {each.id for each in resources} > {CLUSTER}
    assert (await door.accounts.whoami()).value == place.slurm_user


# ---------------------------------------------------------------------------------------------- S3M


async def test_what_s3m_tells_of_a_token(place, transport):
    token = place.new_s3m_token("demo", ["data-streaming"], lifetime=3600)
    told = (await S3mAccounts(s3m_session(place, transport, token)).introspect()).value
    assert (told.user, told.project, told.one_time) == ("demo_auser", "DEMO", False)
    assert told.expires is not None
    assert timedelta(0) < told.expires - datetime.now(UTC) < timedelta(hours=1)
    concerns = " ".join(told.concerns(datetime.now(UTC)))
    assert "cannot be renewed" in concerns
    assert "compute-ace" in concerns
    good = (await S3mAccounts(s3m_session(place, transport)).introspect()).value
    assert not good.concerns(datetime.now(UTC))


def test_a_person_is_told_what_a_token_lacks(place: LocalFacility) -> None:
    words = {"dialect": "slurm", "site": "s3m"}
    soon = Facility(
        place.s3m_url, token=place.new_s3m_token("demo", ["data-streaming"], lifetime=60), **words
    )
    ends, lacks = soon.accounts.concerns()
    assert "cannot be renewed: make the next one" in ends
    assert "compute-ace" in lacks
    assert not Facility(place.s3m_url, token=place.s3m_token, **words).accounts.concerns()
    assert not Facility(place.base_url, token=place.token).accounts.concerns()


async def test_a_token_that_works_once(place, transport):
    accounts = S3mAccounts(s3m_session(place, transport, place.new_s3m_token(one_time=True)))
    told = (await accounts.introspect()).value
    assert "one call" in told.concerns(datetime.now(UTC))[0]
    assert (await accounts.whoami()).value == told.user  # and nothing was asked for that


async def test_a_bad_token_at_s3m(place, transport):
    session = s3m_session(place, transport, place.new_s3m_token(lifetime=-1))
    with pytest.raises(AuthError):
        await SlurmDialect(session, ApiWords(site="s3m")).jobs.status(CLUSTER, "1")
    with pytest.raises(AuthError):
        await S3mAccounts(session).check_token()


async def test_a_downtime_at_s3m(transport):
    with LocalFacility() as fresh:
        status = SlurmDialect(s3m_session(fresh, transport), ApiWords(site="s3m")).status
        assert (await status.incidents()).value == []
        fresh.incident(resource="cluster", status="down", name="repair")
        (incident,) = (await status.incidents(resource_id=CLUSTER)).value
        assert (incident.type, incident.status) == ("unplanned", Availability.DOWN)
        assert (await status.resource(CLUSTER)).value.status is Availability.DOWN


async def test_a_streaming_cluster_from_its_beginning_to_its_end(place, transport):
    streaming = SlurmDialect(s3m_session(place, transport), ApiWords(site="s3m")).streaming
    assert streaming is not None
    backends = {each.engine: each for each in (await streaming.backends()).value}
    options = {each.name: (each.least, each.most) for each in backends["rabbitmq"].options}
    assert options["cpus"] == (1, 4)
    for engine, backend in backends.items():
        access = (await streaming.provision(engine, backend.kind, "mine", {"cpus": 1})).value
        assert access.password
        assert access.password not in repr(access)
        assert all(access.password not in url or url not in repr(access) for url in access.urls.values())
        with pytest.raises(Conflict):
            await streaming.provision(engine, backend.kind, "mine", {})
        (cluster,) = (await streaming.clusters(engine)).value
        assert (cluster.name, cluster.state) == ("mine", StreamState.UP)
        assert (await streaming.cluster(engine, "mine")).value.settings["cpus"] == 1
        assert (await streaming.access(engine, "mine")).value is None  # told once
        await streaming.extend(engine, "mine")
        assert 7 * 86400 - 60 < (await streaming.cluster(engine, "mine")).value.seconds_left <= 7 * 86400
        await streaming.release(engine, "mine")
        await streaming.release(engine, "mine")
        assert (await streaming.clusters(engine)).value == []
    with pytest.raises(UsageError, match="40"):
        await streaming.provision("redis", "k", "Not A Name", {})
    with pytest.raises(NotFound):
        await streaming.release("kafka", "mine")
