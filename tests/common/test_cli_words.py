"""From a command line to a job: options, scripts, keys, files; pure, so by table and property."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iri_common import JobKey, UsageError
from iri_common.cli.asking import ask_of, key_of
from iri_common.cli.jobspec import job_spec
from iri_common.cli.moving import gets_of, puts_of
from iri_common.cli.options import AskWords, JobWords
from iri_common.jobside.script import LONGEST, command_of, job_of_script, merged

TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=30)


# ------------------------------------------------------------------------------------------- options


def test_every_option_has_its_field() -> None:
    words = JobWords(
        name="water",
        directory="/scratch",
        env=["A=1", "B=x=y", "EMPTY="],
        stdin="in",
        stdout="out",
        stderr="err",
        launcher="srun",
        pre="module load x",
        post="date",
        container="docker.io/a",
        nodes=2,
        processes=8,
        processes_per_node=4,
        cpus=16,
        gpus=1,
        memory="4G",
        exclusive=False,
        time="1:30:00",
        queue="debug",
        account="m1",
        reservation="r1",
        array="0-3",
        after=["7"],
        attr=["filesystems=home:eagle"],
    )
    assert job_spec(words, ["echo", "-n", ""]).sent() == {
        "executable": "echo",
        "arguments": ["-n", ""],
        "name": "water",
        "directory": "/scratch",
        "environment": {"A": "1", "B": "x=y", "EMPTY": ""},
        "stdin_path": "in",
        "stdout_path": "out",
        "stderr_path": "err",
        "launcher": "srun",
        "pre_launch": "module load x",
        "post_launch": "date",
        "container": {"image": "docker.io/a"},
        "resources": {
            "node_count": 2,
            "process_count": 8,
            "processes_per_node": 4,
            "cpu_cores_per_process": 16,
            "gpu_cores_per_process": 1,
            "memory": 4 * 2**30,
            "exclusive_node_use": False,
        },
        "attributes": {
            "duration": 5400,
            "queue_name": "debug",
            "account": "m1",
            "reservation_id": "r1",
            "array": "0-3",
            "after": {"ok": ["7"]},
            "custom_attributes": {"filesystems": "home:eagle"},
        },
    }


def test_without_options_nothing_is_said() -> None:
    assert job_spec(JobWords(), ["hostname"]).sent() == {"executable": "hostname"}


def test_a_variable_is_taken_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATER", "wet")
    assert job_spec(JobWords(env=["WATER"]), ["x"]).environment == {"WATER": "wet"}
    monkeypatch.delenv("WATER")
    with pytest.raises(UsageError, match=r"--env WATER: there is no such variable here; write WATER=VALUE"):
        job_spec(JobWords(env=["WATER"]), ["x"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (JobWords(time="soon"), "--time: 'soon' is not a time"),
        (JobWords(memory="much"), "--memory: 'much' is not a size"),
        (JobWords(attr=["constraint"]), "--attr constraint: write NAME=VALUE"),
        (JobWords(env=["=x"]), "--env =x: write NAME=VALUE"),
        (JobWords(env=["A-B=x"]), "environment.A-B"),
        (JobWords(nodes=0), "node_count: Input should be"),
        (JobWords(spec=Path("/nowhere.json")), "/nowhere.json cannot be read: No such file"),
        (JobWords(script=Path("/nowhere.sh")), "/nowhere.sh cannot be read: No such file"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: JobWords, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        job_spec(words, ["x"])
    assert why in str(caught.value)


def test_something_must_be_run() -> None:
    with pytest.raises(UsageError, match="say what to run"):
        job_spec(JobWords(), [])


# ----------------------------------------------------------------------------- what is stronger than what


def test_options_are_stronger_than_the_spec_and_the_spec_than_the_script(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH -N 1 -q a -t 1 -A low -J script\necho hello\n")
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps({"name": "spec", "environment": {"A": "1", "B": "1"}, "attributes": {"queue_name": "b"}})
    )
    words = JobWords(script=script, spec=spec, queue="c", env=["B=2"])
    assert job_spec(words, ["one"]).sent() == {
        "executable": "/bin/bash",
        "arguments": ["-c", script.read_text().rstrip("\n"), "job.sh", "one"],
        "name": "spec",
        "environment": {"A": "1", "B": "2"},
        "resources": {"node_count": 1},
        "attributes": {"duration": 60, "queue_name": "c", "account": "low"},
    }


def test_a_spec_in_toml(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text('executable = "hostname"\n[attributes]\nduration = 60\n')
    assert job_spec(JobWords(spec=spec), []).sent() == {
        "executable": "hostname",
        "attributes": {"duration": 60},
    }


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", "{", "a.json is not JSON"),
        ("a.toml", "=", "a.toml is not TOML"),
        ("a.json", "[]", "holds no JobSpec"),
        ("a.json", '{"executable": "x", "walltime": 3}', "walltime: no such field"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str, why: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=why):
        job_spec(JobWords(spec=tmp_path / name), [])


def test_groups_are_merged_and_the_rest_replaced() -> None:
    under = {"resources": {"node_count": 1, "memory": 2}, "arguments": ["a"], "name": "x"}
    over = {"resources": {"memory": 3}, "arguments": ["b"]}
    assert merged(under, over) == {
        "resources": {"node_count": 1, "memory": 3},
        "arguments": ["b"],
        "name": "x",
    }
    assert under["resources"] == {"node_count": 1, "memory": 2}


# ------------------------------------------------------------------------------------------- scripts


def ran(command: list[str], tmp_path: Path, **words) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=env, check=False, **words)


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash", "#! /bin/sh -e"])
def test_a_shell_script_runs_with_its_name_and_arguments(tmp_path: Path, first: str) -> None:
    command = command_of(f'{first}\nread word\necho "$0" "$1" "$word"\nexit 3\n', "job.sh", ["two words"])
    done = ran(command, tmp_path, input="given\n")
    assert (done.stdout, done.stderr, done.returncode) == ("job.sh two words given\n", "", 3)


@pytest.mark.parametrize("first", ["#!/usr/bin/env python3", "#!/usr/bin/env -S python3 -u"])
def test_another_script_runs_from_a_private_file_that_is_gone_afterwards(tmp_path: Path, first: str) -> None:
    script = f"""{first}
import os, stat, sys
mode = stat.S_IMODE(os.stat(__file__).st_mode)
print(os.path.basename(__file__), sys.argv[1:], sys.stdin.read(), oct(mode))
print(oct(os.umask(0)))
sys.exit(4)
"""
    old = os.umask(0o022)
    try:
        done = ran(command_of(script, "job.py", ["two words", "*"]), tmp_path, input="given")
    finally:
        os.umask(old)
    assert done.stdout == "job.py ['two words', '*'] given 0o600\n0o22\n"
    assert (done.stderr, done.returncode) == ("", 4)
    assert list(tmp_path.iterdir()) == []


def test_a_script_of_another_interpreter_hears_signals(tmp_path: Path) -> None:
    script = """#!/usr/bin/env python3
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print("ready", flush=True)
time.sleep(30)
"""
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command_of(script, "s.py"), stdout=subprocess.PIPE, env=env) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        job.terminate()
        assert job.wait(10) == 42
    assert list(tmp_path.iterdir()) == []


@given(body=TEXT, arguments=st.lists(TEXT, max_size=3))
@settings(max_examples=60)
def test_text_and_arguments_arrive_as_they_are(tmp_path_factory, body: str, arguments: list[str]) -> None:
    text = "#!/bin/cat\n" + body.replace("\r", "")
    command = command_of(text, "any", ())
    done = ran(command, tmp_path_factory.mktemp("run"))
    assert done.stdout.encode() == (text.rstrip("\n") + "\n").encode()
    shell = command_of('#!/bin/sh\nfor each; do printf "%s\\0" "$each"; done\n', "any", arguments)
    assert subprocess.run(shell, capture_output=True, timeout=20, check=True).stdout == b"".join(
        each.encode() + b"\0" for each in arguments
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo hello\n", "begin it with a line such as #!/bin/sh"),
        ("#!\n", "begin it with"),
        ("", "begin it with"),
        ("#!/bin/sh\r\necho\r\n", "Windows"),
        ("#!/bin/sh\n\x00", "not a text"),
        ("#!/bin/sh\n" + "x" * LONGEST, "upload it"),
    ],
)
def test_a_script_that_cannot_be_sent_is_refused(script: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        command_of(script, "job.sh")


BATCH = "#!/bin/sh\n#SBATCH -N 2 -t 5 -A m1\necho $1\n"


def test_a_script_is_a_job_with_words_on_top_of_its_own() -> None:
    words = {"arguments": ["a"], "resources": {"process_count": 4}, "attributes": {"duration": 60}}
    assert job_of_script(BATCH, words, name="fit.sh").sent() == {
        "executable": "/bin/sh",
        "arguments": ["-c", BATCH.rstrip(), "fit.sh", "a"],
        "resources": {"node_count": 2, "process_count": 4},
        "attributes": {"duration": 60, "account": "m1"},
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"executable": "/bin/true"}, "fit.sh or an executable, not both"),
        ({"arguments": "abc"}, "arguments"),
        ({"attributes": {"walltime": 1}}, "no such field"),
    ],
)
def test_what_makes_no_job_of_a_script_is_refused(words: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        job_of_script(BATCH, words, name="fit.sh")


# ------------------------------------------------------------------------------------- keys and asks


@given(
    st.lists(
        st.text(min_size=1, max_size=8).filter(lambda each: "/" not in each and "%" not in each), min_size=1
    )
)
def test_a_key_means_the_same_as_typed_and_as_shown(segments: list[str]) -> None:
    try:
        key = JobKey.of(*segments)
    except UsageError:
        return
    assert key_of("/".join(segments)) == key
    assert key_of(key.identity) == key


@pytest.mark.parametrize("text", ["", "a//b", "/a", "a/"])
def test_a_key_with_an_empty_segment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty segment"):
        key_of(text)


def test_an_ask_says_only_what_was_said() -> None:
    spec = job_spec(JobWords(), ["x"])
    plain = ask_of(spec, None, AskWords())
    assert (plain.named, plain.words) == (False, {})
    assert plain.key != ask_of(spec, None, AskWords()).key
    words = AskWords(key="ci/1", again=True, no_guard=True, on_outage="fail", outage_limit="2:00")
    full = ask_of(spec, "perlmutter", words)
    assert full.key == JobKey.of("ci", "1")
    assert full.again
    assert full.words == {
        "resource": "perlmutter",
        "guard": False,
        "on_outage": "fail",
        "outage_limit": 120,
    }
    with pytest.raises(UsageError, match="--again goes with --key"):
        ask_of(spec, None, replace(words, key=None))
    with pytest.raises(UsageError, match="wait, fail or try, not hope"):
        ask_of(spec, None, AskWords(on_outage="hope"))


# --------------------------------------------------------------------------------------------- files


def test_where_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.dat").write_text("")
    Path("out").mkdir()
    for word, target in {
        "a.dat:/scratch/b.dat": "/scratch/b.dat",
        "a.dat:/scratch/": "/scratch/a.dat",
        "a.dat:in/b.dat": "/work/in/b.dat",
        "a.dat:.": "/work/a.dat",
    }.items():
        (move,) = puts_of([word], "/work")
        assert (move.source, move.target) == ("a.dat", target)
    for word, target in {"r.dat:here.dat": "here.dat", "r.dat:out": "out/r.dat", "r.dat:.": "r.dat"}.items():
        (move,) = gets_of([word], "/work")
        assert (move.source, move.target) == ("/work/r.dat", target)


@pytest.mark.parametrize(
    ("moves", "word", "directory", "why"),
    [
        (puts_of, "a.dat", "/w", "write SOURCE:TARGET"),
        (puts_of, "nowhere:/x", "/w", "there is no file nowhere here"),
        (puts_of, __file__ + ":b", None, "give --directory, or the whole path"),
        (gets_of, "/a:", "/w", "write SOURCE:TARGET"),
        (gets_of, "/a:nowhere/b", "/w", "there is no directory nowhere here"),
        (gets_of, "a:b", None, "give --directory, or the whole path"),
    ],
)
def test_files_that_cannot_go_are_refused_before_anything_is_sent(moves, word, directory, why) -> None:
    with pytest.raises(UsageError, match=why):
        moves([word], directory)
