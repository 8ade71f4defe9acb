"""A program behind the guard is given what it would be given without: every word, in every shell."""

from __future__ import annotations

import os
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jobside_shells import DUMP, PYTHON, SHELLS, Place, python, sh

from iri_common.jobside.guard import TEMPLATE
from iri_common.model.spec import JobSpec

NASTY = [
    "",
    " ",
    "a  b",
    "'",
    '"',
    "\\",
    "\\n",
    "a\nb\n",
    "\n",
    "\t",
    "*",
    "?",
    "[a-z]*",
    "~",
    "~root",
    "$HOME",
    "$(echo x)",
    "`echo x`",
    "${iri_id}",
    "-n",
    "--",
    "-",
    "!",
    "#",
    ";",
    "&",
    "|",
    "<x",
    ">y",
    "(",
    "{a,b}",
    "é",
    "\u2028",
    "\x01\x7f\x81\x88",
    "日本",
    "🧪",
    "%s",
    "=",
    "a=b",
    "\r\n",
    "\ufeff",
]
words = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(NASTY)
)
names = st.text(string.ascii_letters + "_", min_size=1, max_size=8).map(lambda name: f"X_{name}")
variables = st.dictionaries(
    names,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(NASTY),
    max_size=5,
)
folders = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."}) | st.sampled_from(["-rf", "a b", "$HOME", "*", "'", '"', "\\"])
roots = folders.map(lambda name: "".join(c if c.isprintable() and c != "\x7f" else "_" for c in name))

pytestmark = pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
quick = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("plain", [False, True], ids=["quoted", "plain"])
@quick
@given(words=words, variables=variables, folder=folders, root=roots, stdin=st.binary(max_size=200))
@example(
    words=NASTY,
    variables={f"X_{n}": word for n, word in enumerate(NASTY)},
    folder="a 'b'\n$c",
    root="d \"e\" `f` 'g' * $h \\",
    stdin=b"\0\n",
)
def test_arguments_environment_directory_and_input_come_out_unchanged(
    shell, plain, words, variables, folder, root, stdin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("place")
    place = Place(shell, base / root)
    directory = base / ("d" + folder)
    directory.mkdir()
    done = place.run(
        python(DUMP, *words), environment=variables, cwd=directory, input=stdin, plain=plain, bare=True
    )
    assert (done.code, done.stderr) == (0, "")
    seen_directory, seen_stdin, seen_words, seen_variables = done.seen
    assert seen_words == [os.fsencode(word) for word in words]
    assert (seen_directory, seen_stdin) == (os.fsencode(directory), stdin)
    seen_variables.pop("PATH", None)  # busybox makes one up where there is none
    assert seen_variables == variables
    assert place.journal.exit_code == 0


@quick
@given(words=words, folder=folders)
@example(words=NASTY, folder="a 'b'\n$c")
def test_words_survive_the_commands_before_and_after(
    shell, words, folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = Place(shell, tmp_path_factory.mktemp("place"))
    target = place.root / ("x" + folder)
    target.mkdir()
    spec = python(DUMP, *words, pre_launch="set -- lost words; cd ./x*; export X_pre='a  b'")
    done = place.run(spec, cwd=place.root)
    assert (done.code, done.stderr) == (0, "")
    directory, _, seen, environment = done.seen
    assert (directory, seen) == (os.fsencode(target), [os.fsencode(word) for word in words])
    assert environment["X_pre"] == "a  b"


def test_a_thousand_arguments_and_a_long_one(shell, tmp_path: Path) -> None:
    words = [f"{n} " * 20 for n in range(1000)] + ["x" * 100_000]
    done = Place(shell, tmp_path).run(python(DUMP, *words))
    assert [os.fsdecode(word) for word in done.seen[2]] == words


@pytest.mark.parametrize("name", ["-program", "a=b", "pro gram", "test", "$x", "é"])
def test_a_program_may_have_any_name(shell, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / name).write_text("#!/bin/sh\necho ran\n")
    (folder / name).chmod(0o700)
    by_path = Place(shell, tmp_path / "g").run({"executable": f"./{name}"}, cwd=folder)
    assert (by_path.code, by_path.stdout) == (0, b"ran\n")
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    if name.startswith("-"):
        return  # bash takes it for an option of exec, dash knows no "--" there: a path says what is meant
    on_path = Place(shell, tmp_path / "g").run({"executable": name}, environment=environment)
    assert (on_path.code, on_path.stdout) == (0, b"ran\n"), on_path.stderr


@pytest.mark.parametrize(
    "environment",
    [{}, {"PATH": ""}, {"PATH": "/nowhere"}, {"CDPATH": "/", "TMPDIR": "/nowhere"}],
)
def test_the_guard_needs_nothing_of_the_environment(shell, tmp_path: Path, environment: dict) -> None:
    place = Place(shell, tmp_path)
    done = place.run(python(DUMP), environment=environment, bare=True)
    assert (done.code, done.stderr) == (0, "")
    assert {name: done.seen[3].get(name) for name in environment} == environment
    assert place.journal.exit_code == 0


def test_nothing_is_left_in_the_environment(shell, tmp_path: Path) -> None:
    environment = {"HOME": "/nowhere", "IRI_JOB_ID": "7", "PATH": os.defpath}
    seen = Place(shell, tmp_path).run(python(DUMP), environment=environment, bare=True).seen
    assert seen[3] == environment
    listed = Place(shell, tmp_path).run(sh("set; umask; env"), bare=True).stdout.decode()
    assert "iri_" not in listed.replace(str(tmp_path), "")


def test_a_spec_as_a_client_sends_it_is_still_a_spec(shell, tmp_path: Path) -> None:
    place = Place(shell, tmp_path)
    sent = JobSpec(executable=PYTHON, arguments=["-c", DUMP, "a b"], pre_launch="cd /").sent()
    assert place.run(sent).seen[2] == [b"a b"]


def test_the_text_is_short_and_every_shell_takes_it(shell) -> None:
    assert len(TEMPLATE) < 8000
    checked = subprocess.run([*shell, "-n"], input=TEMPLATE.encode(), capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
