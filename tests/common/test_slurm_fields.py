"""A job's spec in the fields of each version: exact, or refused before anything is sent."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.apis.slurm import KNOWN, S3M, SLURMRESTD, Version, version_of
from iri_common.apis.slurm.needs import PATH, changes, submission
from iri_common.model.errors import UsageError

V38, V40, V41, V44 = (Version(number) for number in (38, 40, 41, 44))
FULL = {
    "executable": "/bin/x",
    "arguments": ["a b"],
    "name": "n",
    "directory": "/d",
    "stdin_path": "in",
    "stdout_path": "out",
    "stderr_path": "err",
    "environment": {"A": "1,2=3\n4"},
    "resources": {
        "node_count": 2,
        "process_count": 4,
        "processes_per_node": 2,
        "cpu_cores_per_process": 3,
        "gpu_cores_per_process": 1,
        "exclusive_node_use": True,
        "memory": 2 * 2**30 + 1,
    },
    "attributes": {
        "duration": 61,
        "queue_name": "q",
        "account": "a",
        "reservation_id": "r",
        "custom_attributes": {"qos": "high", "constraint": "gpu", "licenses": "x:2", "hold": ""},
    },
}
SAME = {
    "name": "n",
    "current_working_directory": "/d",
    "standard_input": "in",
    "standard_output": "out",
    "standard_error": "err",
    "account": "a",
    "partition": "q",
    "reservation": "r",
    "tasks": 4,
    "tasks_per_node": 2,
    "cpus_per_task": 3,
    "qos": "high",
    "constraints": "gpu",
    "licenses": "x:2",
    "hold": True,
}
SCRIPT = "#!/bin/sh\nexec /bin/x 'a b'\n"


def small(**words):
    return {"executable": "/bin/x", "directory": "/d", **words}


def test_plain_numbers_in_the_oldest_version():
    assert submission(FULL, V38, SLURMRESTD) == {
        "script": SCRIPT,
        "job": {
            **SAME,
            "time_limit": 2,
            "nodes": [2, 2],
            "gpus_per_task": "1",
            "exclusive": "exclusive",
            "memory_per_node": 1025,
            "environment": {"PATH": PATH, "A": "1,2=3\n4"},
        },
    }


@pytest.mark.parametrize("version", [each for each in KNOWN if each != V38])
def test_objects_for_numbers_in_later_ones(version):
    job = {
        **SAME,
        "time_limit": {"set": True, "number": 2},
        "minimum_nodes": 2,
        "maximum_nodes": 2,
        "tres_per_task": "gres/gpu:1",
        "shared": ["none"],
        "memory_per_node": {"set": True, "number": 1025},
        "environment": [f"PATH={PATH}", "A=1,2=3\n4"],
    }
    body = submission(FULL, version, SLURMRESTD)
    inside = body["job"].pop("script", None)
    assert body.pop("job") == job
    assert [inside, body.get("script")].index(SCRIPT) == (0 if version.number >= 41 else 1)


def test_a_path_of_the_user_stays():
    body = submission(small(environment={"PATH": "/mine"}), V44, SLURMRESTD)
    assert body["job"]["environment"] == ["PATH=/mine"]
    assert submission(small(), V38, SLURMRESTD)["job"]["environment"] == {"PATH": PATH}


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 1), (60, 1), (61, 2), (3600, 60)])
def test_minutes_are_rounded_up(seconds, minutes):
    assert changes({"attributes": {"duration": seconds}}, V38, SLURMRESTD) == {"time_limit": minutes}


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1), min_size=1
    )
)
def test_the_command_line_is_kept_whole(words):
    script = submission(small(executable=words[0], arguments=words[1:]), V44, SLURMRESTD)["job"]["script"]
    assert shlex.split(script.partition("exec ")[2]) == words


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"directory": ""}, "directory"),
        ({"inherit_environment": True}, "inherit_environment.*pre_launch"),
        ({"container": {"image": "i"}}, "container"),
        ({"attributes": {"custom_attributes": {"array": "0-3"}}}, "array.*word of its own"),
        ({"attributes": {"custom_attributes": {"hold": "perhaps"}}}, "hold=perhaps"),
        ({"attributes": {"custom_attributes": {"mail-user": "a@b"}}}, "mail-user.*known: comment"),
    ],
)
def test_what_cannot_be_said_is_named(words, says):
    with pytest.raises(UsageError, match=says) as caught:
        submission(small(**words), V44, SLURMRESTD)
    assert caught.value.operation is None  # nothing was asked of anybody


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"resources": {"gpu_cores_per_process": 1}},
            "S3M takes no job with the field tres_per_task; .*GPUs",
        ),
        ({"resources": {"exclusive_node_use": True}}, "shared"),
        ({"attributes": {"custom_attributes": {"dependency": "afterok:1"}}}, "dependency; wait for"),
        ({"attributes": {"custom_attributes": {"constraint": "x"}}}, "constraints; name a queue"),
        ({"attributes": {"custom_attributes": {"hold": ""}}}, "hold"),
    ],
)
def test_what_s3m_does_not_take_is_refused_early(words, says):
    with pytest.raises(UsageError, match=says):
        submission(small(**words), V44, S3M)


def test_all_else_passes_at_s3m():
    fits = {key: value for key, value in FULL.items() if key != "attributes"}
    fits["resources"] = {"node_count": 2, "process_count": 4, "memory": 2**30}
    fits["attributes"] = {
        "duration": 60,
        "queue_name": "q",
        "account": "A",
        "custom_attributes": {"qos": "x"},
    }
    job = submission(fits, V44, S3M)["job"]
    assert {"minimum_nodes", "tasks", "memory_per_node", "time_limit", "script"} <= set(job)


@pytest.mark.parametrize("name", ["v0.0.37", "v1", "38", "v0.0.9", "", "v0.0.044 "])
def test_names_that_are_no_version(name):
    assert version_of(name) is None


def test_versions_newer_than_this_are_spoken_by_name():
    assert version_of("v0.0.45") == Version(45)
    assert [each.name for each in KNOWN] == [f"v0.0.{number}" for number in range(44, 37, -1)]
    assert S3M.path(Version(43), "odo", "jobs") == "/slurm/open/v0.0.43/odo/jobs"
    assert SLURMRESTD.path(V40, "cluster", "jobs") == "/slurm/v0.0.40/jobs"
    assert not V40.script_inside
    assert V41.script_inside
