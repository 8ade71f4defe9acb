"""Jobs before the gate: their hours are taken before a send, and given back if nothing came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from jobs_world import MemoryLedger, ScriptedDialect, ScriptedJobs, failing, status

from iri_common import (
    AmbiguousReply,
    AuthError,
    Grant,
    GrantExceeded,
    IriError,
    JobKey,
    JobSpec,
    ProfileError,
    Refused,
    Resource,
    SubmitUncertain,
    UsageError,
)
from iri_common.facility.doors import open_door
from iri_common.facility.granted import Gate
from iri_common.facility.loop import run_blocking
from iri_common.facility.profiles import load_profile
from iri_common.facility.settings import make_settings
from iri_common.jobs.audit import AuditLog
from iri_common.jobs.submit import DoorMemory, Submitter
from iri_common.model.grant import Audit, Verb
from iri_common.model.job import Accepted
from iri_common.model.outcome import Done
from iri_common.model.submission import Submission
from iri_common.policy import asking

MACHINE = Resource("machine", "Big")
KEY = JobKey.of("airflow", "dag", 1)
SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "look_pause", lambda looks: 0.0)
    monkeypatch.setattr(asking, "send_pause", lambda sends: 0.0)
    monkeypatch.setattr(asking, "LISTED_WITHIN", 0.0)


class World:
    """A scripted facility behind a gate, asked for jobs of an hour."""

    def __init__(self, folder: Path, audit: Audit = Audit.ACTS, **limits: Any) -> None:
        self.log = AuditLog(folder / "audit")
        self.gate = Gate(Grant(**limits), audit, {"profile": "portal", "facility": "portal"}, log=self.log)
        self.jobs, self.ledger = ScriptedJobs(), MemoryLedger()

    def submit(self, *script: Any, key: JobKey | None = None, where: Resource = MACHINE, **words: Any) -> Any:
        """What it came to."""
        self.jobs.script = list(script)
        words.setdefault("attributes", {"duration": 3600})
        spec = JobSpec(executable="/bin/true", **words)
        submission = Submission(spec, where.id, key or JobKey.random())

        async def submit() -> Any:
            await self.gate.admit_job(submission, where)
            words = {"origin": "facility.example", "label": "portal", "books": self.gate}
            submitter = Submitter(ScriptedDialect(self.jobs), self.ledger, DoorMemory(), **words)
            return (await submitter.submit(submission)).job_id

        try:
            return asyncio.run(submit())
        except IriError as error:
            return error

    @property
    def sent(self) -> int:
        return len(self.jobs.asks)

    def fates(self) -> list[str]:
        return [each["fate"] for each in self.log.entries()]


def of_before(jobs: ScriptedJobs, ask: Any) -> Done[Accepted]:
    return Done(Accepted("1", status("queued"), True))


def lost(jobs: ScriptedJobs, ask: Any) -> IriError:
    return failing(AmbiguousReply, "reply lost")


# ------------------------------------------------------------------------------------- hours of a day


def test_the_hours_of_a_day_are_spent_job_by_job(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=2)
    assert [world.submit(), world.submit()] == ["1", "2"]
    refused = world.submit()
    assert isinstance(refused, GrantExceeded)
    assert refused.allowed == "2 node hours a day, of which 0 node hours are left"
    assert world.sent == 2
    assert world.fates() == ["asked", "done", "asked", "done", "denied"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (failing(Refused, "invalid"), Refused),
        (failing(AuthError, "bad token"), AuthError),
        (failing(IriError, "not sent", None), IriError),
    ],
)
def test_hours_of_what_came_to_nothing_are_given_back(tmp_path: Path, script, kind) -> None:
    world = World(tmp_path, node_hours_a_day=1)
    assert isinstance(world.submit(script), kind)
    assert world.fates() == ["asked", "refused"]
    assert world.submit() == "1"


def test_hours_of_what_may_be_there_stay_taken(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=1)
    assert isinstance(world.submit(lost, key=KEY), SubmitUncertain)
    assert isinstance(world.submit(), GrantExceeded)
    world.jobs.listed["7"] = (KEY.job_name(None), status("queued"))  # it had arrived
    assert world.submit(key=KEY) == "7"
    assert world.sent == 1
    assert isinstance(world.submit(), GrantExceeded)


def test_an_ask_of_before_is_counted_once(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=2)
    assert world.submit(key=KEY) == "1"
    world.ledger = MemoryLedger()  # on another machine
    assert world.submit(of_before, key=KEY) == "1"
    assert world.fates()[-1] == "again"
    assert world.submit() == "2"
    assert isinstance(world.submit(), GrantExceeded)


def test_a_key_that_is_used_twice_past_its_ledger_is_paid_for_twice(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=1)
    assert world.submit(key=KEY) == "1"
    world.ledger = MemoryLedger()
    assert isinstance(world.submit(key=KEY), GrantExceeded)
    assert world.sent == 1


def test_at_each_machine_a_key_whose_ledger_is_lost_may_have_its_job(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=2)
    for each in ("one", "two"):
        assert isinstance(world.submit(lost, key=KEY, where=Resource(each)), SubmitUncertain)
        world.ledger = MemoryLedger()
    assert isinstance(world.submit(key=KEY, where=Resource("three")), GrantExceeded)
    assert world.submit(key=KEY, where=Resource("two")) == "1"  # the same that may be there


def test_a_next_generation_is_another_job(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=1)
    assert world.submit(key=KEY) == "1"
    assert isinstance(world.submit(key=KEY.next()), GrantExceeded)


def test_a_refused_ask_can_be_made_again_when_there_are_hours(tmp_path: Path) -> None:
    world = World(tmp_path, node_hours_a_day=1)
    first = JobKey.of("first")
    assert world.submit(key=first) == "1"
    assert isinstance(world.submit(key=KEY), GrantExceeded)
    entry = {"act": "x", "fate": "asked", "grant": "portal", "tag": first.tag, "hours": 1.0}
    (act,) = {each["act"] for each in world.log.entries() if each["fate"] == "done"}
    world.log.add({**entry, "act": act, "fate": "refused"})
    assert world.submit(key=KEY) == "2"


def test_without_a_log_no_hour_is_given(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("no directory")
    world = World(tmp_path, node_hours_a_day=1)
    refused = world.submit()
    assert isinstance(refused, IriError)
    assert "counted there: nothing was sent" in refused.message
    assert world.sent == 0
    assert World(tmp_path, nodes=1).submit() == "1"  # and without such a limit work goes on


# ----------------------------------------------------------------------------------------- on record


def test_what_is_asked_of_a_job_is_on_record_and_no_secret_of_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    words = {
        "arguments": ["--token", SECRET],
        "environment": {"KEY": SECRET + "!"},
        "directory": "/w",
        "name": "sim",
    }
    told = failing(Refused, "invalid")
    told.message = f"environment KEY={SECRET}! and argument {SECRET} are not allowed"
    told.args = (told.message,)
    assert isinstance(world.submit(told, key=KEY, **words), Refused)
    asked, came = world.log.entries()
    assert asked["key"] == str(KEY)
    assert asked["spec"] == {**asked["spec"], "name": "sim", "executable": "/bin/true", "seconds": 3600}
    assert came["why"].startswith("environment KEY=******** and argument ******** are not allowed")
    assert SECRET not in "".join(each.read_text() for each in world.log.directory.glob("*.jsonl"))


def test_nothing_is_written_where_nothing_shall_be(tmp_path: Path) -> None:
    assert World(tmp_path, Audit.OFF).submit() == "1"
    assert isinstance(World(tmp_path, Audit.OFF, verbs=["look"]).submit(), GrantExceeded)
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"verbs": ["cancel"]}, {}),
        ({"resources": ["other"]}, {}),
        ({"accounts": ["m1"]}, {"attributes": {"duration": 60, "account": "m2"}}),
        ({"queues": ["debug"]}, {}),
        ({"nodes": 2}, {"resources": {"node_count": 3}}),
        ({"node_hours": 0.5}, {}),
        ({"node_hours": 5}, {"attributes": {}}),
        ({"paths": ["/w"]}, {}),
        ({"paths": ["/w"]}, {"directory": "/w", "stdout_path": "../o"}),
        ({"nodes": 2}, {"attributes": {"custom_attributes": {"nodes": "9"}}}),
    ],
)
def test_a_job_outside_of_a_grant_is_not_sent(tmp_path: Path, limits, words) -> None:
    world = World(tmp_path, **limits)
    assert isinstance(world.submit(**words), GrantExceeded)
    assert world.sent == 0
    assert world.fates() == ["denied"]


def test_a_job_within_its_grant_is(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        verbs=["submit"],
        resources=["big"],
        accounts=["m1"],
        queues=["debug"],
        nodes=2,
        node_hours=2,
        paths=["/w"],
    )
    attributes = {"duration": 3600, "account": "m1", "queue_name": "debug"}
    words = {"directory": "/w/run", "resources": {"node_count": 2}, "attributes": attributes}
    assert world.submit(**words) == "1"


# ---------------------------------------------------------------------------------------- the profile

PROFILE = """
[portal]
url = "https://facility.example/api/v2"
audit = "all"
[portal.grant]
verbs = ["submit"]
nodes = 4
paths = ["/work/portal"]
"""


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facilities.toml").write_text(PROFILE)
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))


def test_a_profile_has_its_grant(profile: None) -> None:
    settings = load_profile("portal")
    assert settings.grant == Grant(verbs={Verb.SUBMIT}, nodes=4, paths={"/work/portal"})
    assert settings.audit is Audit.ALL


def test_whoever_opens_a_profile_can_only_narrow_it(profile: None, monkeypatch) -> None:
    assert load_profile("portal", profile="another").profile == "portal"  # whose hours it spends
    wider = {"verbs": ["submit", "delete"], "nodes": 9, "paths": ["/work"], "accounts": ["m1"]}
    settings = load_profile("portal", grant=wider, audit="off")
    assert settings.grant == Grant(verbs=["submit"], nodes=4, paths=["/work/portal"], accounts=["m1"])
    assert settings.audit is Audit.ALL
    monkeypatch.setenv("IRI_FACILITY_PORTAL_GRANT_NODES", "2")
    monkeypatch.setenv("IRI_FACILITY_PORTAL_GRANT_VERBS", "look,delete")
    assert load_profile("portal").grant == Grant(verbs=["look"], nodes=2, paths=["/work/portal"])


def test_where_guards_are_kept_is_not_the_callers_to_say(profile: None) -> None:
    with pytest.raises(ProfileError, match="its grant names paths: guard_directory is the profile's to say"):
        load_profile("portal", guard_directory="/elsewhere")


def test_a_variable_makes_a_grant_of_a_profile_without_a_file(monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_LAB_URL", "https://facility.example/api/v2")
    monkeypatch.setenv("IRI_FACILITY_LAB_GRANT_NODE_HOURS_A_DAY", "12.5")
    assert load_profile("lab").grant == Grant(node_hours_a_day=12.5)
    monkeypatch.setenv("IRI_FACILITY_LAB_AUDIT", "off")
    with pytest.raises(ProfileError, match="counted in the audit log"):
        load_profile("lab")
    monkeypatch.setenv("IRI_FACILITY_LAB_GRANT_NODE_HOURS_A_DAY", "many")
    with pytest.raises(ProfileError, match="node_hours_a_day of a grant is a number"):
        load_profile("lab")


def test_another_grant_is_another_gate_before_the_same_connections() -> None:
    words = {"url": "https://gates.example/api/v2", "token": "t"}
    one, other = make_settings(**words, grant={"nodes": 1}), make_settings(**words, grant={"nodes": 2})

    async def opened() -> list[Any]:
        return [open_door(each) for each in (one, other, one)]

    first, second, again = run_blocking(opened())
    assert again is first
    assert (second.own, second.memory) == (first.own, first.memory)
    assert second.gate.grant == Grant(nodes=2)
    # What one may see the other may not.
    assert second.followed is not first.followed
    assert second.poller("machine") is not first.poller("machine")


def test_a_word_that_audit_does_not_know_names_those_that_it_does() -> None:
    with pytest.raises(UsageError, match="audit is one of off, acts, all, not 'some'"):
        make_settings("https://facility.example/api/v2", audit="some")
