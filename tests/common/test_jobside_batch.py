"""A spec as a batch script: real shells run what was asked, and its directives say what was asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobside_shells import DUMP, PYTHON, SHELLS, Ended

from iri_common import JobSpec, UsageError
from iri_common.jobside.batch import batch_script, clock, plain_script
from iri_common.jobside.directives import script_needs

GIB = 2**30
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"_", "IFS", "PWD", "PATH", "SHLVL", "OPTIND", "PPID", "UID", "EUID", "LC_ALL"}
)
counts = st.integers(1, 64)
lines = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\x85"), min_size=1
).filter(str.strip)

ranges = st.tuples(counts, counts).map(lambda ends: f"{ends[0]}-{sum(ends)}")
arrays = st.tuples(
    st.lists(ranges | counts.map(str) | ranges.map("{}:2".format), min_size=1, max_size=3).map(",".join),
    st.just("") | counts.map("%{}".format),
).map("".join)
job_ids = counts.map(str) | counts.map("{}_3".format)


def wire(**fields: Any) -> dict[str, Any]:
    return JobSpec(**{"executable": "/bin/true", **fields}).sent()


def ran(shell: list[str], script: str, folder: Path) -> Ended:
    file = folder / "script"
    file.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [*shell, str(file)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        timeout=20,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"), 0.0)


# ------------------------------------------------------------------------------------------- the program


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("framed", [False, True])
def test_arguments_and_environment_come_out_of_a_shell_unchanged(
    shell: list[str], framed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("job")

    @settings(max_examples=25)
    @given(st.lists(words, max_size=4), st.dictionaries(names, words, max_size=3))
    def through(arguments: list[str], environment: dict[str, str]) -> None:
        spec = wire(executable=PYTHON, arguments=["-c", DUMP, *arguments], environment=environment)
        if framed:
            spec |= {"pre_launch": "iri_before=1", "post_launch": "iri_after=2"}
        end = ran(shell, plain_script(spec), folder)
        assert end.code == 0, end.stderr
        directory, _, seen, variables = end.seen
        assert os.path.samefile(directory, folder)
        assert seen == [os.fsencode(word) for word in arguments]
        assert environment.items() <= variables.items()

    through()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ({"arguments": ["-c", "exit 3"]}, 3, ""),
        ({"arguments": ["-c", "exit 3"], "post_launch": "echo after"}, 3, "after\n"),
        ({"arguments": ["-c", 'echo "$X"'], "pre_launch": "X=1; export X"}, 0, "1\n"),
        ({"arguments": ["-c", "echo hi"], "launcher": "env -u HOME"}, 0, "hi\n"),
        ({"arguments": ["-c", "echo hi"], "launcher": "single"}, 0, "hi\n"),
        ({"arguments": ["-c", "pwd"], "directory": "/usr"}, 0, "/usr\n"),
    ],
)
def test_how_a_script_runs_its_program(words: dict, code: int, told: str, tmp_path: Path) -> None:
    end = ran(["bash"], plain_script(wire(executable="/bin/sh", **words), directory=True), tmp_path)
    assert (end.code, end.stdout.decode()) == (code, told)


def test_a_script_is_for_bash_where_commands_stand_around_the_program() -> None:
    assert plain_script(wire()).startswith("#!/bin/sh\n")
    assert plain_script(wire(pre_launch="module load x")).startswith("#!/bin/bash\n")
    assert "export" not in plain_script(wire(environment={"A": "b"}), exports=False)


def test_a_container_has_no_place_in_a_script() -> None:
    with pytest.raises(UsageError, match=r"container.*apptainer"):
        plain_script(wire(container={"image": "x"}))


# ------------------------------------------------------------------------------------------- directives

specs = st.fixed_dictionaries(
    {},
    optional={
        "name": st.from_regex(r"[a-z][a-z .'$\"]{0,10}[a-z]", fullmatch=True),
        "directory": lines.map(lambda text: "/" + text),
        "stdin_path": lines,
        "stdout_path": lines,
        "stderr_path": lines,
        "inherit_environment": st.booleans(),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "node_count": counts,
                "process_count": counts,
                "processes_per_node": counts,
                "cpu_cores_per_process": counts,
                "gpu_cores_per_process": counts,
                "exclusive_node_use": st.just(True),
            },
        ),
        "attributes": st.fixed_dictionaries(
            {},
            optional={
                "duration": st.integers(1, 10**6),
                "account": lines,
                "queue_name": lines,
                "reservation_id": lines,
                "array": arrays,
                "after": st.fixed_dictionaries(
                    {}, optional=dict.fromkeys(("ok", "any", "failure"), st.lists(job_ids, min_size=1))
                ),
                "custom_attributes": st.fixed_dictionaries(
                    {}, optional={"constraint": lines, "licenses": lines}
                ),
            },
        ),
    },
)


@given(specs)
def test_slurm_directives_say_what_was_asked(fields: dict) -> None:
    asked = wire(**fields)
    del asked["executable"]
    assert JobSpec(executable="x", **script_needs(batch_script(wire(**fields)))) == JobSpec(
        executable="x", **asked
    )


@pytest.mark.parametrize(
    ("fields", "scheduler", "line"),
    [
        ({"resources": {"memory": 4 * GIB, "node_count": 2}}, "slurm", "#SBATCH --mem=2048M"),
        ({"resources": {"memory": 1}}, "slurm", "#SBATCH --mem=1M"),
        ({"attributes": {"custom_attributes": {"gpu-bind": "none"}}}, "slurm", "#SBATCH --gpu-bind=none"),
        ({"attributes": {"custom_attributes": {"requeue": ""}}}, "slurm", "#SBATCH --requeue"),
        (
            {"attributes": {"custom_attributes": {"dependency": "afterok:7"}}},
            "slurm",
            "#SBATCH --dependency=afterok:7",
        ),
        (
            {"attributes": {"after": {"ok": ["7", "8"], "any": ["9_1"]}}},
            "slurm",
            "#SBATCH --dependency=afterok:7:8,afterany:9_1",
        ),
        ({"attributes": {"after": {"failure": ["7.pbs"]}}}, "pbs", "#PBS -W depend=afternotok:7.pbs"),
        ({"attributes": {"array": "0-9:2%3"}}, "slurm", "#SBATCH --array=0-9:2%3"),
        ({"attributes": {"array": "0-9"}}, "pbs", "#PBS -J 0-9"),
        ({"name": "a b"}, "slurm", "#SBATCH --job-name='a b'"),
        ({"stdout_path": 'a\\b "c'}, "slurm", r'#SBATCH --output="a\\b \"c"'),
        ({"resources": {}}, "pbs", "#PBS -l select=1"),
        (
            {"resources": {"node_count": 2, "process_count": 8, "cpu_cores_per_process": 4}},
            "pbs",
            "#PBS -l select=2:ncpus=16:mpiprocs=4",
        ),
        (
            {"resources": {"processes_per_node": 4, "gpu_cores_per_process": 1, "memory": GIB}},
            "pbs",
            "#PBS -l select=1:mpiprocs=4:ngpus=4:mem=1024mb",
        ),
        ({"resources": {"exclusive_node_use": True}}, "pbs", "#PBS -l place=excl"),
        ({"attributes": {"duration": 90}}, "pbs", "#PBS -l walltime=0:01:30"),
        ({"attributes": {"queue_name": "debug", "account": "m1"}}, "pbs", "#PBS -q debug"),
        ({"attributes": {"custom_attributes": {"filesystems": "eagle"}}}, "pbs", "#PBS -l filesystems=eagle"),
        ({"directory": "/a b"}, "pbs", "cd -- '/a b' || exit"),
    ],
)
def test_what_a_directive_looks_like(fields: dict, scheduler: Any, line: str) -> None:
    assert line in batch_script(wire(**fields), scheduler).splitlines()


def test_what_the_api_is_told_by_itself_is_left_out() -> None:
    spec = wire(name="n", directory="/d", attributes={"account": "a", "queue_name": "q", "duration": 60})
    script = batch_script(spec, omit={"name", "directory", "account"}, queue_option="--qos")
    assert script.splitlines()[1:3] == ["#SBATCH --time=0:01:00", "#SBATCH --qos=q"]


@pytest.mark.parametrize(
    ("fields", "scheduler", "problem"),
    [
        ({"stdout_path": "a\nb"}, "slurm", "control character"),
        ({"attributes": {"account": "a\n#SBATCH --uid=0"}}, "slurm", "control character"),
        ({"attributes": {"custom_attributes": {"bad name": "x"}}}, "slurm", "not the name of an option"),
        ({"attributes": {"custom_attributes": {"array": "0-3"}}}, "slurm", "a word of its own"),
        ({"attributes": {"custom_attributes": {"J": "0-3"}}}, "pbs", "a word of its own"),
        ({"attributes": {"custom_attributes": {"arr": "0-3"}}}, "slurm", "a word of its own"),
        ({"attributes": {"custom_attributes": {"job-n": "x"}}}, "slurm", "`name`"),
        ({"attributes": {"custom_attributes": {"wait": ""}}}, "slurm", "until the job is over"),
        ({"attributes": {"custom_attributes": {"test-only": ""}}}, "slurm", "no job at all"),
        ({"attributes": {"array": "1,3"}}, "pbs", "one range"),
        ({"launcher": "srun 'x"}, "slurm", "launcher"),
        ({"stdin_path": "x"}, "pbs", "stdin_path"),
        ({"resources": {"node_count": 2, "process_count": 3}}, "pbs", "evenly"),
        ({"attributes": {"reservation_id": "R1"}}, "pbs", "queue_name"),
    ],
)
def test_what_cannot_be_said_is_refused(fields: dict, scheduler: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        batch_script(wire(**fields), scheduler)


@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_no_line_of_a_pre_launch_is_taken_for_a_directive(scheduler: Any) -> None:
    script = batch_script(wire(pre_launch="#SBATCH --array=1-9\n#PBS -J 1-9", launcher="srun"), scheduler)
    _, _, below = script.partition("\n#SBATCH --array=1-9\n#PBS -J 1-9\n")
    above = script.removesuffix(below).splitlines()
    assert any(line and not line.startswith("#") for line in above)


@pytest.mark.parametrize(("seconds", "text"), [(1, "0:00:01"), (3600, "1:00:00"), (90061, "25:01:01")])
def test_times_are_written_as_schedulers_read_them(seconds: int, text: str) -> None:
    assert clock(seconds) == text
