"""The oddities of single sites: what they are told, what they are spared, what their words mean."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import Facility, JobSpec, JobState, UsageError
from iri_common.apis.iri import API, RULES, SITES, V1, V2, IriDialect, grades_of, site_of
from iri_common.apis.kind import ApiWords
from iri_common.http.budget import Budget
from iri_common.http.session import Session
from iri_common.jobside.batch import plain_script
from iri_common.model.ports import WireReply, WireRequest

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def wire(**fields: Any) -> dict[str, Any]:
    return JobSpec(**{"executable": "/bin/true", **fields}).sent()


@pytest.mark.parametrize(
    ("url", "name", "site"),
    [
        ("https://api.alcf.anl.gov/api/v1", None, "alcf"),
        ("https://api.iri.nersc.gov/api/v2", None, "nersc"),
        ("https://amsc-open.s3m.olcf.ornl.gov/api/v1", None, "olcf"),
        ("https://amsc-moderate.s3m.olcf.ornl.gov/api/v1", None, "olcf"),
        ("https://api.alcf.anl.gov.example.org/api/v1", None, ""),
        ("http://127.0.0.1:8000/api/v2", None, ""),
        ("http://127.0.0.1:8000/api/v2", "slac", "slac"),
    ],
)
def test_a_site_is_known_by_its_host_or_by_its_name(url: str, name: str | None, site: str) -> None:
    assert site_of(url, name).name == site


def test_a_site_that_nobody_knows_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"no such site.*alcf, olcf, nersc, slac"):
        Facility("http://127.0.0.1:1/api/v2", site="alfc")
    Facility("http://127.0.0.1:1/api/v2", site="alcf")


def test_what_a_site_keeps_of_the_promises() -> None:
    whole = grades_of(V2)
    assert (whole.settle, whole.files, whole.logs) == ("native", "direct", "follow")
    alcf = grades_of(V1, SITES["alcf"])
    assert (alcf.settle, alcf.guard, alcf.upload_limit, alcf.archives) == ("snapshot", "lock", 0, False)
    olcf = API.grades("https://amsc-open.s3m.olcf.ornl.gov/api/v1", ApiWords())
    assert (olcf.settle, olcf.files, olcf.logs, olcf.journal) == ("snapshot", "none", "none", "no")
    assert grades_of(V1, SITES["nersc"]) == grades_of(V1)


# ------------------------------------------------------------------------------------------------ ALCF


@given(st.lists(words, max_size=4), st.dictionaries(st.sampled_from("ABC"), words))
def test_alcf_is_told_a_command_in_letters_that_need_no_quoting(
    arguments: list[str], environment: dict[str, str]
) -> None:
    told = SITES["alcf"].said(wire(arguments=arguments, environment=environment))
    assert not set("\"'\\\n") & set("".join(told["arguments"]))
    assert "environment" not in told
    json.dumps(told)


@pytest.mark.parametrize("launcher", [None, "env"])
def test_what_alcf_is_told_runs_as_it_was_asked_for(launcher: str | None, tmp_path) -> None:
    assert shutil.which("base64"), "the machine of the job needs it"
    (tmp_path / "in").write_text("from stdin")
    odd = "a 'b'  \"c\"\n$d \\ *"
    text = 'printf "%s|%s|%s|%s" "$1" "$ODD" "$PRE" "$(cat)"'
    spec = wire(
        executable="/bin/sh",
        arguments=["-c", text, "sh", odd],
        environment={"ODD": odd},
        stdin_path=str(tmp_path / "in"),
        pre_launch="[[ a == a ]] && export PRE=' * '",
        post_launch="printf after",
        **({"launcher": launcher} if launcher else {}),
    )
    told = SITES["alcf"].said(spec)
    assert set(told) == {"executable", "arguments"}
    done = subprocess.run(
        [told["executable"], *told["arguments"]], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout == f"{odd}|{odd}| * |from stdinafter"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"resources": {"process_count": 2}}, "mpiexec -n"),
        ({"resources": {"processes_per_node": 2}}, "mpiexec --ppn"),
        ({"resources": {"cpu_cores_per_process": 2}}, "mpiexec --depth"),
        ({"resources": {"gpu_cores_per_process": 2}}, "on GPUs"),
        ({"resources": {"exclusive_node_use": False}}, "exclusive_node_use"),
        ({"attributes": {"reservation_id": "R1"}}, "queue_name"),
        ({"inherit_environment": False}, "env -i"),
        ({"container": {"image": "x"}}, "apptainer"),
        ({"directory": 'a"b'}, "directory has a quote"),
        ({"stdout_path": "a\\b"}, "stdout_path has a quote"),
        ({"attributes": {"custom_attributes": {"filesystems": "home\neagle"}}}, "filesystems has a quote"),
        ({"attributes": {"custom_attributes": {'x",value:"y': "1"}}}, "custom_attributes has a quote"),
        ({"directory": "a\x01b"}, "directory has a quote"),
    ],
)
def test_what_alcf_would_answer_with_501_is_never_sent(fields: dict, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        SITES["alcf"].said(wire(**fields))


def test_what_alcf_can_carry_is_carried() -> None:
    fields = {
        "directory": "/home/u",
        "stdout_path": "out",
        "stderr_path": "err",
        "name": "n",
        "resources": {"node_count": 2, "memory": 1024, "exclusive_node_use": True},
        "attributes": {"duration": 300, "queue_name": "debug", "custom_attributes": {"filesystems": "eagle"}},
    }
    told = SITES["alcf"].said(wire(**fields))
    assert {name: told[name] for name in fields} == fields


# ----------------------------------------------------------------------------------------- OLCF, SLAC


def test_olcf_wants_to_know_the_directory() -> None:
    with pytest.raises(UsageError, match="directory"):
        SITES["olcf"].said(wire())
    assert SITES["olcf"].said(wire(directory="/d")) == wire(directory="/d")


@pytest.mark.parametrize(("asked", "told"), [(1, 60), (60, 60), (90, 120), (3600, 3600)])
def test_slac_cuts_times_to_minutes_so_they_are_rounded_up(asked: int, told: int) -> None:
    assert SITES["slac"].said(wire(attributes={"duration": asked}))["attributes"] == {"duration": told}


def test_slac_keeps_the_environment_that_a_job_has_by_itself() -> None:
    spec = wire(
        executable="/bin/sh",
        arguments=["-c", 'test -n "$PATH" && printf %s "$X"'],
        environment={"X": "a b"},
        launcher="srun",
    )
    told = SITES["slac"].said(spec)
    assert (told["launcher"], "environment" in told) == ("srun", False)
    done = subprocess.run(
        [told["executable"], *told["arguments"]], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout == "a b"
    assert SITES["slac"].said(wire()) == wire()


@pytest.mark.parametrize(
    ("around", "output"),
    [
        ({"pre_launch": 'X="$X and $Y"'}, "a b and c"),
        ({"pre_launch": "unset Y", "post_launch": 'printf "; %s" "$X$Y"'}, "a b; a b"),
        ({"post_launch": 'printf "; %s" "$X"'}, "a b; a b"),
    ],
)
def test_what_goes_before_and_after_the_program_at_slac_sees_the_environment(around, output) -> None:
    program = {"executable": "/bin/sh", "arguments": ["-c", 'printf %s "$X"']}
    spec = wire(**program, **around, environment={"X": "a b", "Y": "c"}, launcher="env")
    told = SITES["slac"].said(spec)
    assert "environment" not in told
    # Their batch script: one shell, with the program started by its launcher.
    shell = ["/bin/bash", "-c", plain_script(told)]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == output


# -------------------------------------------------------------------------------------------- replies


class Told:
    """Answers everything alike, and keeps what it was asked."""

    def __init__(self, value: object) -> None:
        self.reply = WireReply(200, {"content-type": "application/json"}, json.dumps(value).encode())
        self.seen: list[WireRequest] = []

    async def send(self, request: WireRequest) -> WireReply:
        self.seen.append(request)
        return self.reply

    async def close(self) -> None: ...


def door(wire: Told, site: str) -> IriDialect:
    return IriDialect(Session("http://d/api/v1", wire, None, Budget(), rules=RULES), V1, SITES[site])


@pytest.mark.parametrize(
    ("site", "meta", "state"),
    [
        ("slac", {"slurm_state": "SUSPENDED"}, JobState.HELD),
        ("slac", {"state": "STOPPED", "other": 3}, JobState.HELD),
        ("slac", {"slurm_state": "CANCELLED"}, JobState.CANCELED),
        ("slac", {}, JobState.CANCELED),
        ("nersc", {"slurm_state": "SUSPENDED"}, JobState.CANCELED),
    ],
)
async def test_a_suspended_job_has_not_ended(site: str, meta: dict, state: JobState) -> None:
    wire = Told({"id": "7", "status": {"state": "canceled", "meta_data": meta}})
    assert (await door(wire, site).jobs.status("r", "7")).value.state is state


@pytest.mark.parametrize(("site", "sent"), [("alcf", "false"), ("nersc", "true")])
async def test_specifications_are_not_asked_for_where_that_is_refused(site: str, sent: str) -> None:
    wire = Told([])
    await door(wire, site).jobs.list("r", offset=0, limit=10, historical=True, names=True)
    assert ("include_spec", sent) in wire.seen[0].params
