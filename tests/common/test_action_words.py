"""What the action's steps say and are told: key, inputs, workflow commands, environment files, markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from github_actions import ACTION, evaluated, value_of
from hypothesis import given
from hypothesis import strategies as st

from iri_common import UsageError
from iri_common.cli import github_runner as runner
from iri_common.cli.asking import key_of
from iri_common.cli.github import (
    TOKEN,
    Inputs,
    ask_words,
    door_words,
    job_words,
    key_text,
    matrix_text,
    run_words,
)
from iri_common.cli.github_report import Report

RUN = {
    "GITHUB_REPOSITORY": "alice/tomography",
    "GITHUB_WORKFLOW": "From beamline to picture",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_JOB": "reconstruct",
    "IRI_MATRIX": '{"part": 0}',
    "INPUT_STEP": "iri",
}


def inputs(**words: str) -> Inputs:
    return Inputs({f"INPUT_{name.upper()}": value for name, value in words.items()})


# ----------------------------------------------------------------------------------------- the key


def test_the_key_is_of_what_a_re_run_keeps() -> None:
    key = key_text(RUN)
    assert key == "github/alice%2Ftomography/From%20beamline%20to%20picture/4711/reconstruct/part%3D0/iri"
    assert key_of(key).identity == key, "iri cancel --key reads it back"
    again = RUN | {
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_RUN_NUMBER": "9",
        "GITHUB_SHA": "abc",
        "RUNNER_NAME": "other",
    }
    assert key_text(again) == key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_REPOSITORY", "bob/tomography"),
        ("GITHUB_WORKFLOW", "another"),
        ("GITHUB_RUN_ID", "4712"),
        ("GITHUB_JOB", "assemble"),
        ("IRI_MATRIX", '{"part": 1}'),
        ("IRI_MATRIX", "null"),
        ("INPUT_STEP", "iri_2"),
    ],
)
def test_whatever_tells_two_steps_apart_is_in_the_key(name: str, value: str) -> None:
    assert key_text(RUN | {name: value}) != key_text(RUN)


@pytest.mark.parametrize("name", ["GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_RUN_ID", "GITHUB_JOB"])
def test_outside_of_a_workflow_there_is_no_key(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        key_text({each: value for each, value in RUN.items() if each != name})


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        ("", "-"),
        ("null", "-"),
        ("{}", "-"),
        ('{"part": 1}', "part=1"),
        ('{"b": 2, "a": "x"}', "a=x,b=2"),
        ('{"a": "1"}', 'a="1"'),
        ('{"a": "true"}', 'a="true"'),
        ('{"a": true}', "a=true"),
        ('{"a": "x,b=2"}', 'a="x,b=2"'),
        ('{"a": {"d": 1, "c": [1]}}', 'a={"c":[1],"d":1}'),
        ("[1, 2]", "[1, 2]"),
        ("no json", '"no json"'),
    ],
)
def test_a_leg_of_a_matrix_has_one_spelling(matrix: str, text: str) -> None:
    assert matrix_text(matrix) == text


scalars = st.one_of(st.text(max_size=5), st.integers(0, 9), st.booleans(), st.none())
legs = st.dictionaries(st.text(min_size=1, max_size=3), scalars, min_size=1, max_size=3)


@given(legs, legs)
def test_two_legs_never_share_a_spelling(one: dict, other: dict) -> None:
    def marked(leg: dict) -> str:
        return json.dumps(leg, sort_keys=True)

    assert (matrix_text(json.dumps(one)) == matrix_text(json.dumps(other))) is (marked(one) == marked(other))


# -------------------------------------------------------------------------------------- the inputs


def test_every_input_reaches_the_environment_of_the_step_under_its_name() -> None:
    by_id = {step.get("id"): step for step in ACTION["runs"]["steps"]}
    for name in set(ACTION["inputs"]) - {"python", "cancel"}:
        variable = f"INPUT_{name.upper().replace('-', '_')}"
        assert by_id["run"]["env"][variable] == f"${{{{ inputs.{name} }}}}"
    assert by_id["install"]["env"]["INPUT_PYTHON"] == "${{ inputs.python }}"
    source = Path(job_words.__code__.co_filename).read_text()
    for name in set(ACTION["inputs"]) - {"python", "cancel", "step"}:
        assert f'"{name}"' in source, "an input that nothing reads"


def test_the_two_steps_agree_on_who_asks_and_where() -> None:
    _, run, cancel = ACTION["runs"]["steps"]
    assert {name: run["env"][name] for name in cancel["env"]} == cancel["env"]


def test_no_line_of_shell_holds_an_expression() -> None:
    assert [step["run"] for step in ACTION["runs"]["steps"] if "${{" in step["run"]] == []


def test_a_facility_by_url_takes_its_token_from_a_variable() -> None:
    environ: dict[str, str] = {}
    door = door_words(inputs(url="https://host/api/v2", token="hunter2"), environ)
    assert (door.url, door.token_env, door.facility) == ("https://host/api/v2", TOKEN, None)
    assert environ == {TOKEN: "hunter2"}
    assert "hunter2" not in repr(door)
    assert door_words(inputs(url="https://host/api/v2"), {}).token_env is None


def test_a_facility_by_name_is_a_profile_of_the_environment() -> None:
    environ: dict[str, str] = {}
    door = door_words(inputs(facility="my-site", url="https://host/api/v2", token="hunter2"), environ)
    assert (door.facility, door.url, door.token_env) == ("my-site", None, None)
    assert environ == {
        "IRI_FACILITY_MY_SITE_URL": "https://host/api/v2",
        "IRI_FACILITY_MY_SITE_TOKEN": "hunter2",
    }
    door_words(inputs(facility="nersc"), environ := {})
    assert environ == {}


def test_without_a_facility_nothing_is_sent() -> None:
    with pytest.raises(UsageError, match="facility or url"):
        door_words(inputs(token="x"), {})


def test_a_command_is_lines_for_a_shell_that_stops_at_the_first_failure() -> None:
    words, command = job_words(inputs(command="set -u\necho $HOME\n", nodes="2", env="A=1\n\n B=x y \n"))
    assert command == ["/bin/sh", "-e", "-c", "set -u\necho $HOME"]
    assert (words.nodes, words.env, words.script) == (2, ["A=1", "B=x y"], None)


def test_a_script_takes_arguments_a_line_each() -> None:
    words, command = job_words(inputs(script="jobs/run.sh", arguments="--slices\n0:4\n  two words\n"))
    assert (words.script, command) == (Path("jobs/run.sh"), ["--slices", "0:4", "two words"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({}, "what to run"),
        ({"command": "x", "script": "y"}, "one of command and script"),
        ({"command": "x", "arguments": "y"}, "goes with script"),
        ({"command": "x", "nodes": "two"}, "nodes is a whole number"),
        ({"command": "x", "nodes": "0"}, "nodes is a whole number"),
    ],
)
def test_inputs_that_make_no_sense_are_named(words: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        job_words(inputs(**words))


@pytest.mark.parametrize(("text", "said"), [("true", True), ("FALSE", False), ("", False)])
def test_yes_and_no(text: str, said: bool) -> None:
    assert ask_words(inputs(again=text), "k").again is said
    with pytest.raises(UsageError, match="true or false"):
        ask_words(inputs(again="maybe"), "k")


def test_the_guard_is_there_unless_it_is_refused() -> None:
    assert ask_words(inputs(), "k").no_guard is False
    assert ask_words(inputs(guard="false"), "k").no_guard is True


def test_files_travel_a_line_each() -> None:
    words = run_words(inputs(put="a:/b\nc:/d", get="/e:f", lines="5", timeout="1:00:00"))
    assert (words.put, words.get, words.lines, words.timeout) == (["a:/b", "c:/d"], ["/e:f"], 5, "1:00:00")
    assert words.cancel_on_interrupt is False, "a runner that is shut down sends the same signals as a person"


# ----------------------------------------------------------------------------- commands and files


def read_back(text: str) -> str:
    """As the runner reads the data of a command."""
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


@given(st.text())
def test_nothing_in_a_text_ends_its_command(text: str) -> None:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runner.say("error", text, title="a: b, c")
    assert out.getvalue().count("\n") == 1
    head, _, data = out.getvalue()[:-1].removeprefix("::").partition("::")
    assert head == "error title=a%3A b%2C c"
    assert read_back(data) == text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r")))
def test_an_output_is_one_output_whatever_it_holds(tmp_path_factory, text: str) -> None:
    file = tmp_path_factory.mktemp("out") / "output"
    runner.output("state", text, {"GITHUB_OUTPUT": str(file)})
    name, _, end = file.read_text().split("\n", 1)[0].partition("<<")
    assert name == "state"
    assert file.read_text() == f"state<<{end}\n{text}\n{end}\n"
    assert end not in text


def test_outside_of_a_runner_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner.output("a", "b", {})
    runner.summary("c", {})
    assert list(tmp_path.iterdir()) == []


def test_a_secret_of_several_lines_is_masked_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    runner.mask("one%25\ntwo\n")
    told = {read_back(line.removeprefix("::add-mask::")) for line in capsys.readouterr().out.splitlines()}
    assert {"one%25", "two"} <= told
    assert "" not in told


def test_what_a_job_writes_orders_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with runner.group("Job"):
        print("::error::spoofed")
    lines = capsys.readouterr().out.splitlines()
    word = lines[1].removeprefix("::stop-commands::")
    assert lines == [
        "::group::Job",
        f"::stop-commands::{word}",
        "::error::spoofed",
        f"::{word}::",
        "::endgroup::",
    ]
    assert len(word) == 32


@given(st.text(alphabet=st.sampled_from("`\n a<&|#\x1b[0m")))
def test_a_fence_holds(text: str) -> None:
    lines = runner.fenced(text).split("\n")
    fence = lines[0].removesuffix("text")
    assert set(fence) == {"`"}
    assert len(fence) >= 3
    assert lines[-1] == fence
    assert not [line for line in lines[1:-1] if line.strip().startswith(fence)]


def test_a_cell_of_a_table_stays_one_cell() -> None:
    cell = runner.code("a | b\n<img src=x> `c` & \x1b[31mred\x1b[0m")
    assert cell == "<code>a &#124; b &lt;img src=x&gt; &#96;c&#96; &amp; red</code>"


# -------------------------------------------------------------------------------------- the report

TOLD = {"ok": False, "exit": 3, "ref": "iri+job://h/iri/r/k.1?job=42", "job_id": "42", "facility": "here",
        "resource_id": "r", "generation": 2, "step": "raise", "state": "failed", "exit_code": 9}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (TOLD | {"retry_sensible": True}, "passes by itself"),
        (TOLD | {"retry_sensible": False}, "until it is mended"),
        (TOLD | {"retry_sensible": None}, "Re-run the failed jobs"),
        ({"error": {"kind": "SubmitUncertain", "message": "?"}}, "is found, not repeated"),
        ({"error": {"kind": "WaitTimeout", "message": "?"}, "ref": "iri+job://x"}, "goes on with the job"),
        ({"error": {"kind": "UsageError", "message": "?"}}, ""),
    ],
)
def test_a_person_is_told_what_to_do(told: dict, words: str) -> None:
    advice = Report(told, "k").advice()
    assert words in advice
    assert bool(words) is bool(advice)


def test_outputs_are_texts_and_empty_where_nothing_is_known() -> None:
    assert Report(TOLD, "k").outputs() == {
        "key": "k", "job": TOLD["ref"], "job-id": "42", "state": "failed", "exit-code": "9",
    }  # fmt: skip
    assert set(Report({}, "k").outputs().values()) == {"k", ""}
    assert set(ACTION["outputs"]) == set(Report({}, "k").outputs())


def test_the_summary_tells_all_of_it() -> None:
    text = Report(
        TOLD | {"stdout": "````\n</details>", "stderr": ""},
        "k",
        {"queued": 10.0, "active": 15.0, "failed": 85.0},
    ).markdown()
    assert text.startswith("### ❌ Job 42\n")
    for part in (
        "failed, exit code 9",
        "iri wait",
        "<code>here</code>",
        "| Waited | 5s |",
        "| Ran | 1m 10s |",
    ):
        assert part in text
    assert "`````text\n````\n</details>\n`````" in text
    assert "stderr" not in text


@pytest.mark.parametrize(
    ("step", "seen", "rows"),
    [
        ("submit", {}, []),
        ("submit", {"queued": 1.0, "completed": 4.0}, ["| Took | 3s |"]),
        ("attach", {"active": 1.0, "completed": 4.0}, ["| Took | 3s |"]),
        ("submit", {"active": 1.0, "completed": 4.0}, ["| Waited | 0s |", "| Ran | 3s |"]),
    ],
)
def test_times_are_those_that_were_seen(step: str, seen: dict, rows: list[str]) -> None:
    text = Report(TOLD | {"step": step}, "k", seen).markdown()
    assert re.findall(r"\| (?:Took|Waited|Ran) \|.*", text) == rows


# ------------------------------------------------------------------------- the runner of these tests


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.a-b", "x"),
        ("inputs.none", None),
        ("'it''s'", "it's"),
        ("inputs.a-b == 'x' && inputs.e != 'false'", True),
        ("cancelled() && inputs.a-b", False),
        ("success()", True),
        ("!(success() || cancelled())", False),
        ("toJSON(matrix)", '{\n  "part": 1\n}'),
        ("matrix.part", 1),
    ],
)
def test_expressions_are_read_as_github_reads_them(expression: str, value: object) -> None:
    contexts = {"inputs": {"a-b": "x", "e": ""}, "matrix": {"part": 1}, "status": "success"}
    assert value_of(expression, contexts) == value
    assert evaluated("-${{ inputs.a-b }}-${{ inputs.none }}-", contexts) == "-x--"
