"""What a grant allows: a pure decision over a closed table of operations."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import Grant, NodesIntent, UsageError
from iri_common.facility import granted
from iri_common.model import dataports, networkports, ports, reservationports, streamports
from iri_common.model.grant import Verb
from iri_common.policy.grants import Ask, JobAsk, LinkAsk, plain_path, refusal
from iri_common.policy.leases import lasting
from iri_common.policy.operations import OPERATIONS, ask_of, job_ask, job_paths
from iri_common.policy.spending import Fate, Spending, masked
from iri_common.policy.telling import LONGEST, flat, told

LOOKING = {"operations", "status", "accounts", "storage"}  # what no gate stands before
FACTS = {"name", "grades"}
SERVICES = {"flows", "compute"}  # of Globus, and no part of a dialect
MODULES = (ports, dataports, networkports, streamports, reservationports)


def operations_of(protocol: type) -> set[str]:
    return {name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}


# ------------------------------------------------------------------------------------------ the table


def test_each_operation_of_each_port_has_its_row_and_no_other() -> None:
    assert set(granted.PORTS) == set(OPERATIONS)
    for port, protocol in granted.PORTS.items():
        assert set(OPERATIONS[port]) == operations_of(protocol) - {"_abc_impl"}, port


def test_what_a_row_names_are_arguments_of_its_operation() -> None:
    for port, rows in OPERATIONS.items():
        for name, row in rows.items():
            arguments = inspect.signature(getattr(granted.PORTS[port], name)).parameters
            resource = row.resource.partition(".")[0] if row.verb else ""
            named = {*row.paths, *filter(None, (row.spec, row.nodes, row.link, row.stream, resource))}
            assert named <= set(arguments), (port, name)


def test_each_part_of_a_dialect_stands_behind_the_gate_or_only_looks() -> None:
    dialects = [
        value
        for module in MODULES
        for name, value in vars(module).items()
        if name.endswith("Dialect") and value.__module__ == module.__name__
    ]
    parts = {name for each in dialects for name, value in vars(each).items() if isinstance(value, property)}
    assert len(dialects) > 2
    assert parts - FACTS == (set(granted.PORTS) - SERVICES) | LOOKING


def test_an_operation_without_a_row_is_refused() -> None:
    class Newer:
        async def reboot(self) -> None:
            raise AssertionError("it was sent")

    with pytest.raises(AttributeError, match="no grant has a word for the operation reboot"):
        granted.Gate().port("jobs", Newer()).reboot()


def test_what_changes_something_needs_more_than_a_look() -> None:
    harmless = {Verb.LOOK, Verb.READ, None}
    quiet = {
        f"{port} {name}"
        for port, rows in OPERATIONS.items()
        for name, row in rows.items()
        if row.verb in harmless
    }
    assert not [
        each for each in quiet if each.split()[1] in {"submit", "cancel", "rm", "mv", "upload", "begin"}
    ]
    assert {row.verb for row in OPERATIONS["jobs"].values()} == {Verb.SUBMIT, Verb.CANCEL, Verb.LOOK, None}


# -------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ({"verbs": "submit, cancel"}, Grant(verbs={"look", "submit", "cancel"})),
        ({"nodes": "4", "node_hours": "1.5"}, Grant(nodes=4, node_hours=1.5)),
        ({"paths": ["/a/b/", "//c//./d"]}, Grant(paths={"/a/b", "/c/d"})),
        ({"accounts": [], "queues": None}, Grant(accounts=frozenset())),
        (
            {"ends": "urn:a, urn:b", "mbps": "500", "path_hours": 2},
            Grant(ends={"urn:a", "urn:b"}, mbps=500, path_hours=2.0),
        ),
        (None, None),
        ({}, Grant()),
    ],
)
def test_a_grant_is_read_from_whatever_words_a_form_has(words, read) -> None:
    assert Grant.of(words) == read


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"verb": ["look"]}, "unknown limits of a grant: verb"),
        ({"verbs": ["fly"]}, "verbs of a grant are of look, submit"),
        ({"nodes": 1.5}, "nodes of a grant is a whole number"),
        ({"nodes": True}, "nodes of a grant is a number"),
        ({"node_hours": -1}, "node_hours of a grant is a number, 0 or more"),
        ({"node_hours_a_day": "nan"}, "node_hours_a_day of a grant is a number"),
        ({"node_hours": "inf"}, "node_hours of a grant is a number"),
        ({"mbps": 0.5}, "mbps of a grant is a whole number"),
        ({"path_hours": "long"}, "path_hours of a grant is a number"),
        ({"paths": ["a/b"]}, "paths of a grant are absolute"),
        ({"paths": ["/a/../b"]}, "without '..'"),
        ({"accounts": 7}, "accounts of a grant is a list of texts"),
        ({"accounts": [7]}, "a list of texts, not of 7"),
        ("look", "a grant is a table of limits"),
    ],
)
def test_what_makes_no_sense_is_named(words, told) -> None:
    with pytest.raises(UsageError, match=told):
        Grant.of(words)


def test_a_grant_is_written_as_it_is_read() -> None:
    grant = Grant(verbs={"submit"}, nodes=2, paths={"/a"})
    assert grant.words() == {"verbs": ["look", "submit"], "nodes": 2, "paths": ["/a"]}
    assert Grant.of(grant.words()) == grant
    assert grant.limited
    assert not Grant().limited


# ---------------------------------------------------------------------------------------- decisions

NAMES = st.sampled_from(["alpha", "Alpha", "beta", "gamma"])
PATHS = st.sampled_from(
    ["/", "/a", "/a/b", "/a/bc", "/a/b/c", "/d", "//a/./b/", "a/b", "/a/../d", "", "/a/b/.."]
)
GRANTS = st.builds(
    Grant,
    verbs=st.none() | st.frozensets(st.sampled_from(Verb)),
    resources=st.none() | st.frozensets(NAMES),
    accounts=st.none() | st.frozensets(NAMES),
    queues=st.none() | st.frozensets(NAMES),
    nodes=st.none() | st.integers(0, 4),
    node_hours=st.none() | st.floats(0, 4),
    node_hours_a_day=st.none() | st.floats(0, 4),
    paths=st.none() | st.frozensets(st.sampled_from(["/", "/a", "/a/b", "/d"])),
    ends=st.none() | st.frozensets(NAMES),
    mbps=st.none() | st.integers(0, 4),
    path_hours=st.none() | st.floats(0, 4),
)
LINKS = st.builds(
    LinkAsk,
    ends=st.none() | st.lists(NAMES, min_size=2, max_size=3).map(tuple),
    mbps=st.none() | st.integers(0, 6),
    hours=st.none() | st.floats(-1, 6),
)
JOBS = st.builds(
    JobAsk,
    nodes=st.none() | st.integers(1, 6),
    hours=st.none() | st.floats(0, 6),
    account=st.none() | NAMES,
    queue=st.none() | NAMES,
    partly=st.booleans(),
    custom=st.sampled_from([(), ("qos",)]),
)
ASKS = st.builds(
    Ask,
    verb=st.sampled_from(Verb),
    operation=st.just("jobs submit"),
    resource=st.lists(NAMES, max_size=2).map(tuple),
    paths=st.lists(PATHS, max_size=2).map(tuple),
    job=st.none() | JOBS,
    beside=st.lists(st.tuples(NAMES), max_size=1).map(tuple),
    link=st.none() | LINKS,
)


@given(wide=GRANTS, other=GRANTS, ask=ASKS, spent=st.floats(0, 4))
def test_a_narrowed_grant_never_allows_what_either_refuses(wide, other, ask, spent) -> None:
    narrow = wide.narrowed(other)
    if refusal(narrow, ask, spent) is None:
        assert refusal(wide, ask, spent) is None
        assert refusal(other, ask, spent) is None
    assert wide.narrowed(None) == wide
    assert narrow.narrowed(other) == narrow


def test_the_less_of_two_limits_of_a_path_counts() -> None:
    one = Grant(ends={"urn:a", "urn:b"}, mbps=5, path_hours=2)
    other = Grant(ends={"urn:b", "urn:c"}, mbps=9, path_hours=1)
    assert one.narrowed(other) == other.narrowed(one) == Grant(ends={"urn:b"}, mbps=5, path_hours=1)


@given(grant=GRANTS, ask=ASKS, spent=st.floats(0, 4))
def test_what_is_allowed_is_within_each_limit(grant, ask, spent) -> None:
    """The decision against limits that are read one by one, in another way than it does."""
    if refusal(grant, ask, spent) is not None:
        return
    assert grant.verbs is None or ask.verb in grant.verbs
    if grant.resources is not None:
        known = {each.lower() for each in grant.resources}
        assert not ask.resource or known & {each.lower() for each in ask.resource}
        assert all(each.lower() in known for (each,) in ask.beside)
    if grant.paths is not None:
        for path in ask.paths:
            parts = [part for part in path.split("/") if part not in {"", "."}]
            assert path.startswith("/")
            assert ".." not in parts
            tops = [[part for part in top.split("/") if part] for top in grant.paths]
            assert any(parts[: len(top)] == top for top in tops)
    if (link := ask.link) is not None:
        assert grant.ends is None or set(link.ends) <= grant.ends
        assert grant.mbps is None or link.mbps <= grant.mbps
        assert grant.path_hours is None or link.hours <= grant.path_hours
    if (job := ask.job) is not None and not job.partly:
        assert grant.accounts is None or job.account in grant.accounts
        assert grant.queues is None or job.queue in grant.queues
        assert grant.nodes is None or job.nodes <= grant.nodes
        assert grant.node_hours is None or job.hours <= grant.node_hours
        assert grant.node_hours_a_day is None or spent + job.hours <= grant.node_hours_a_day


@pytest.mark.parametrize(
    ("ask", "asked", "allowed"),
    [
        (Ask(Verb.DELETE, "files rm"), "to delete (files rm)", "to look and to submit"),
        (Ask(Verb.LOOK, "jobs list", ("id-9", "big")), "jobs list at big", "at small"),
        (Ask(Verb.LOOK, "files ls", paths=("/a/bc",)), "the path '/a/bc'", "below /a/b"),
        (Ask(Verb.LOOK, "files ls", paths=("/a/b/../c",)), "leads nowhere", "an absolute path without '..'"),
        (Ask(Verb.SUBMIT, "jobs submit", paths=("",)), "a job with no directory to work in", "in /a/b"),
        (Ask(Verb.SUBMIT, "x", job=JobAsk(account="m2")), "the account 'm2'", "m1"),
        (Ask(Verb.SUBMIT, "x", job=JobAsk()), "names no account, and would get one by default", "m1"),
        (Ask(Verb.SUBMIT, "x", job=JobAsk(3, 1, account="m1")), "3 nodes", "2 nodes at once"),
        (Ask(Verb.SUBMIT, "x", job=JobAsk(1, 9, account="m1")), "9 node hours", "4 node hours a job"),
        (
            Ask(Verb.SUBMIT, "x", job=JobAsk(1, 4, account="m1")),
            "4 node hours",
            "5 node hours a day, of which 2.5 node hours are left",
        ),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk(("urn:a", "urn:c"))), "a path to urn:c", "between urn:a, urn:b"),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk()), "a path whose ends nobody can tell", "between urn:a"),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk(("urn:a",), 600)), "600 Mbit/s", "500 Mbit/s a path"),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk(("urn:a",))), "whose bandwidth nobody can tell", "500 Mbit/s"),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk(("urn:a",), 5, 3)), "3 hours", "2 hours a path"),
        (Ask(Verb.SUBMIT, "x", link=LinkAsk(("urn:a",), 5)), "whose time nobody can tell", "2 hours a path"),
        (
            Ask(Verb.SUBMIT, "x", job=JobAsk(account="m1", custom=("qos",))),
            "'qos', which may ask for more",
            "comment",
        ),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_would_be_allowed(ask, asked, allowed) -> None:
    grant = Grant(
        verbs={"submit"},
        resources={"small"},
        accounts={"m1"},
        nodes=2,
        node_hours=4,
        node_hours_a_day=5,
        paths={"/a/b"},
        ends={"urn:a", "urn:b"},
        mbps=500,
        path_hours=2,
    )
    refused = refusal(grant, ask, 2.5)
    assert refused is not None
    assert asked in refused.asked
    assert allowed in refused.allowed


@pytest.mark.parametrize(
    ("spent", "left"),
    [(0.0, "1 node hour is left"), (0.25, "0.75 node hours are left"), (0.001, "1 node hour is left")],
)
def test_what_is_left_of_a_day_is_told_in_words(spent, left) -> None:
    refused = refusal(Grant(node_hours_a_day=1), Ask(Verb.SUBMIT, "x", job=JobAsk(1, 2)), spent)
    assert str(refused) == f"2 node hours; allowed: 1 node hour a day, of which {left}"


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/a//b/./c/", "/a/b/c"),
        ("//a", "/a"),
        ("/", "/"),
        ("a", None),
        ("", None),
        ("/a/..", None),
        ("~/a", None),
    ],
)
def test_paths_are_compared_in_one_way_of_writing_them(path, plain) -> None:
    assert plain_path(path) == plain


# ------------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("spec", "nodes", "hours"),
    [
        ({}, 1, None),
        ({"attributes": {"duration": 1800}}, 1, 0.5),
        ({"resources": {"node_count": 4}, "attributes": {"duration": 900}}, 4, 1.0),
        (
            {"resources": {"process_count": 9, "processes_per_node": 4}, "attributes": {"duration": 3600}},
            3,
            3.0,
        ),
        ({"resources": {"process_count": 9}, "attributes": {"duration": 60}}, None, None),
        ({"resources": {"node_count": 2}, "attributes": {"duration": 3600, "array": "0-9"}}, 20, 20.0),
        ({"resources": {"node_count": 2}, "attributes": {"duration": 3600, "array": "0-9%3"}}, 6, 20.0),
    ],
)
def test_nodes_and_hours_of_a_job(spec, nodes, hours) -> None:
    asked = job_ask(spec)
    assert (asked.nodes, asked.hours) == (nodes, hours)
    assert (hours is None) == bool(asked.unclear)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("now", "+2h", 2),
        ("+1h", "+3h", 2),
        ("+1d", "+2d", 24),
        ("2026-11-24T08:00:00Z", "2026-11-24T09:30:00+00:00", 1.5),
        ("2026-11-24T08:00:00.000+0000", "2026-11-24T09:00:00Z", 1),
        ("now", None, None),
        ("now", "2026-11-24T08:00:00Z", None),
        ("2026-11-24T08:00:00", "2026-11-24T08:00:00Z", None),
        ("+1h", "soon", None),
        ("now", "+30m", None),
    ],
)
def test_hours_of_a_path(start: str, end: str | None, hours: float | None) -> None:
    assert lasting(start, end) == hours


def test_a_change_of_size_is_refused_where_size_is_limited_and_others_are_not() -> None:
    changes = [{"resources": {"processes_per_node": 1}}, {"attributes": {"duration": 1}}]
    for grant in (Grant(nodes=100), Grant(node_hours=100)):
        for each in changes:
            assert refusal(grant, Ask(Verb.SUBMIT, "jobs update", job=job_ask(each, partly=True)))
        same = job_ask({"attributes": {"queue_name": "debug"}}, partly=True)
        assert refusal(grant, Ask(Verb.SUBMIT, "jobs update", job=same)) is None


@pytest.mark.parametrize(
    ("value", "harmless"),
    [
        ("home:eagle", True),
        ("afterok:1,afterany:2", True),
        ("two-words and more", True),
        ("home,select=400", False),  # a list of PBS
        ("a --nodes=400", False),
        ("-N400", False),
        ("a\n#PBS -l select=400", False),
    ],
)
def test_a_harmless_attribute_carries_no_other_one(value, harmless) -> None:
    spec = {"attributes": {"duration": 60, "custom_attributes": {"filesystems": value}}}
    refused = refusal(Grant(nodes=1), Ask(Verb.SUBMIT, "jobs submit", job=job_ask(spec)))
    assert (refused is None) is harmless
    assert refused is None or repr(f"filesystems={value}") in refused.asked


def test_the_paths_of_a_job_are_those_that_its_scheduler_opens() -> None:
    spec = {
        "directory": "/w",
        "stdin_path": "in",
        "stdout_path": "/o",
        "container": {"volume_mounts": [{"source": "/m"}, {"source": "/guards"}]},
    }
    assert list(job_paths(spec, root="/guards")) == ["/w", "/w/in", "/o", "/m"]
    assert list(job_paths({"stderr_path": "e"})) == ["", "e"]
    assert list(job_paths({}, partly=True)) == []


def test_a_link_is_as_long_as_where_it_leads() -> None:
    ask = ask_of("files", "symlink", {"resource_id": "r", "target": "../x", "link": "/a/b"})
    assert ask.paths == ("/a/../x", "/a/b")
    assert refusal(Grant(paths={"/a"}), ask)


# ---------------------------------------------------------------------------------------- what was spent


def entry(act, fate, tag="k-1", hours=1.0, at=100.0, grant="portal"):
    return {"at": at, "act": act, "fate": fate, "grant": grant, "tag": tag, "hours": hours}


@pytest.mark.parametrize(
    ("entries", "spent"),
    [
        ([], {}),
        ([entry("1", Fate.ASKED)], {"k-1": 1.0}),
        (  # one whose process was killed, and the same that was taken then
            [entry("1", Fate.ASKED), entry("2", Fate.ASKED), entry("2", Fate.DONE)],
            {"k-1": 1.0},
        ),
        (  # taken twice it runs twice, whatever its key
            [entry(act, fate) for act in "12" for fate in (Fate.ASKED, Fate.DONE)],
            {"k-1": 2.0},
        ),
        ([entry("1", Fate.ASKED), entry("1", Fate.DONE)], {"k-1": 1.0}),
        ([entry("1", Fate.ASKED), entry("1", Fate.UNCERTAIN)], {"k-1": 1.0}),
        ([entry("1", Fate.ASKED), entry("1", Fate.REFUSED)], {}),
        ([entry("1", Fate.ASKED), entry("1", Fate.AGAIN)], {}),
        ([entry("1", Fate.ASKED), entry("2", Fate.ASKED), entry("2", Fate.AGAIN)], {"k-1": 1.0}),
        ([entry("1", Fate.ASKED), entry("2", Fate.ASKED)], {"k-1": 1.0}),
        ([entry("1", Fate.ASKED), entry("2", Fate.ASKED, tag="k-2", hours=2.0)], {"k-1": 1.0, "k-2": 2.0}),
        ([entry("1", Fate.ASKED, at=9.0)], {}),
        ([entry("1", Fate.ASKED, grant="another")], {}),
        ([entry("1", Fate.DENIED)], {}),
        ([{"at": 100.0, "act": "1", "fate": "asked", "grant": "portal"}], {}),
    ],
)
def test_the_hours_of_a_day_by_ask(entries, spent) -> None:
    spending = Spending()
    for each in (*entries, *entries):  # a file that was renamed may be read twice
        spending.note(each)
    counted = spending.spent("portal", since=10.0)
    assert {tag: each.total for tag, each in counted.items()} == spent
    assert not spending.spent("portal", since=100.0)
    for each in entries[1:]:
        spending.note({**each, "fate": Fate.DONE})  # of what is forgotten
    assert not spending.spent("portal", since=0.0)


@given(
    secrets=st.lists(
        st.text(max_size=12).filter(lambda text: len(text.strip()) >= 4), min_size=1, max_size=4
    ),
    words=st.lists(st.text(max_size=5), min_size=5, max_size=5),
)
def test_a_text_is_masked_whatever_the_secrets_are(secrets, words) -> None:
    spec = {
        "arguments": secrets[:2],
        "environment": {str(each): value for each, value in enumerate(secrets[2:])},
    }
    text = masked("".join(part for pair in zip(words, secrets, strict=False) for part in pair), spec)
    left = text.replace("********", "\0")
    assert not [each for each in secrets if each in left and each.strip("*\0")]


@pytest.mark.parametrize("packed", [str, repr, json.dumps, flat])
def test_arguments_are_masked_however_they_are_packed(packed: Callable[[str], str]) -> None:
    script = "export  PW='hunter2 hunter3'\nrun \"it\""
    text = masked(told(f"refused: {packed(script)}"), {"arguments": ["-c", script]})
    assert "hunter" not in text
    assert text.startswith("refused: ")


@given(before=st.integers(LONGEST - 60, LONGEST))
def test_an_argument_that_was_cut_is_masked_to_where_it_was_cut(before) -> None:
    secret = "hunter2-" * 9
    text = masked(f"refused: {told('x' * before + secret)}. Try again", {"arguments": ["huntsman", secret]})
    assert "hunt" not in text
    assert text.endswith("…. Try again")


# -------------------------------------------------------------------------------------- nodes that are kept


@pytest.mark.parametrize(
    ("grant", "words", "asked"),
    [
        ({"nodes": 2}, {"nodes": 3}, "3 nodes"),
        ({"node_hours": 1}, {"seconds": 3601}, "more than 1 node hour; allowed: 1 node hour a job"),
        ({"accounts": ["m1"]}, {}, "names no account"),
        ({"accounts": ["m1"]}, {"accounts": ["m1", "m2"]}, "names no account"),
        ({"queues": ["day"]}, {"queue": "night"}, "the queue 'night'"),
        ({"nodes": 2}, {"flags": ["ALL_NODES"]}, "ALL_NODES"),
        ({"verbs": ["submit"]}, {}, "to lease"),
        ({"nodes": 1, "accounts": ["m1"], "queues": ["day"]}, {"accounts": ["m1"], "queue": "day"}, None),
    ],
)
def test_nodes_that_are_kept_count_as_those_of_a_job_do(grant, words, asked) -> None:
    intent = NodesIntent(**{"nodes": 1, "seconds": 3600, **words})
    ask = ask_of("reservations", "create", {"resource_id": "cluster", "intent": intent})
    refused = refusal(Grant(**grant), ask)
    assert (refused is None) if asked is None else (asked in str(refused))
