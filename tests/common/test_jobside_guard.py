"""Of all the jobs that carry one key and generation, one works; the rest end at once and say why."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from jobside_shells import SHELLS, Place, ended, python, sh, until

from iri_common.jobside.codes import GuardCode, behind, ended_as_double
from iri_common.jobside.guard import NO_ID, Guard
from iri_common.jobside.journal import read_owner, read_spec_digest
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey

TOUCH = 'echo "$IRI_JOB_ID$SLURM_JOB_ID" >>"$0"'


@pytest.fixture(params=SHELLS.values(), ids=SHELLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "root")


def work(path: Path, and_then: str = ":") -> dict:
    """A job that leaves a line when it works."""
    return {"executable": "/bin/sh", "arguments": ["-c", f"{TOUCH}; {and_then}", str(path)]}


def worked(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def files(place: Place) -> set[str]:
    return {path.name for path in place.directory.iterdir()}


# ------------------------------------------------------------------------------------------- doubles


def test_of_twenty_at_once_one_works(place: Place, tmp_path: Path) -> None:
    jobs = [place.start(work(tmp_path / "log"), job=str(n)) for n in range(20)]
    results = [ended(job) for job in jobs]
    (winner,) = worked(tmp_path / "log")
    assert place.owner() == winner
    assert [result.code for result in results].count(0) == 1
    assert [result.code for result in results].count(GuardCode.DOUBLE) == 19
    assert max(result.seconds for result in results) < 45
    assert files(place) == {"1.owner", "1.journal"}
    assert [(run.job_id, run.code) for run in place.journal.attempts] == [(winner, 0)]
    for result in results:
        if result.code:
            assert result.stderr.startswith("iri: job ")
            assert f"job {winner} has its key" in result.stderr
            assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("7", "8", 216),
        ("7", "39", 247),
        ("7", "40", 211),  # too far for its code
        ("9", "8", 211),  # the one that works came later
        ("41.server", "42.server", 216),
        ("41.server", "42.other", 211),
        ("41[]", "43[]", 217),
        ("999999999999999", "1000000000000000", 211),  # more digits than every shell counts
        ("07", "8", 211),  # to a shell no number of ten fingers
        ("a7", "a8", 211),
    ],
)
def test_a_counted_double_tells_how_far_behind_it_is(
    place: Place, tmp_path: Path, first, second, code
) -> None:
    place.guard = replace(place.guard, counted=True)
    assert place.run(work(tmp_path / "log"), job=first).code == 0
    double = place.run(work(tmp_path / "log"), job=second)
    assert (double.code, worked(tmp_path / "log")) == (code, [first])
    assert ended_as_double(code, counted=True)
    assert (behind(code) or 0) == (code - 215 if code > 215 else 0)


@pytest.mark.parametrize(
    ("counted", "code", "ends"),
    [
        (True, 210, 210),
        (True, 211, 248),
        (True, 215, 215),
        (True, 216, 248),
        (True, 231, 248),
        (True, 247, 248),
        (True, 248, 248),
        (False, 211, 211),
        (False, 230, 230),
    ],
)
def test_no_program_ends_as_a_counted_double_does(place: Place, counted, code, ends) -> None:
    place.guard = replace(place.guard, counted=counted)
    result = place.run(sh(f"exit {code}"))
    assert result.code == ends
    assert (f"the program ended with {code}," in result.stderr) == (code != ends)
    assert not ended_as_double(ends, counted=True) or not counted


def test_a_double_ends_at_once_while_the_first_one_works(place: Place, tmp_path: Path) -> None:
    first = place.start(work(tmp_path / "log", "exec sleep 30"), job="1")
    until(lambda: worked(tmp_path / "log"))
    doubles = [place.run(work(tmp_path / "log"), job=str(number)) for number in range(2, 5)]
    assert {double.code for double in doubles} == {GuardCode.DOUBLE}
    assert worked(tmp_path / "log") == ["1"]
    assert min(double.seconds for double in doubles) < 2
    assert len(list(place.root.rglob("*"))) == 3, "a live job has a directory, an owner and a journal"
    first.terminate()
    assert ended(first).code == 143


def test_another_generation_or_identity_is_another_job(place: Place, tmp_path: Path) -> None:
    place.run(work(tmp_path / "log"), job="1")
    place.guard = Guard(place.guard.key.next(), root=place.guard.root)
    assert place.run(work(tmp_path / "log"), job="2").code == 0
    assert files(place) == {"1.owner", "1.journal", "2.owner", "2.journal"}
    place.guard = Guard(JobKey.random(), root=place.guard.root)
    assert place.run(work(tmp_path / "log"), job="3").code == 0
    assert worked(tmp_path / "log") == ["1", "2", "3"]


def test_without_a_schedulers_id_the_process_is_the_job(place: Place, tmp_path: Path) -> None:
    codes = [place.run(work(tmp_path / "log"), environment={"IRI_JOB_ID": ""}).code for _ in range(2)]
    assert codes == [0, GuardCode.DOUBLE]
    assert place.owner().startswith(f"{NO_ID}{os.uname().nodename}-"), "no facility would know such an id"


@pytest.mark.parametrize(
    ("environment", "job", "index"),
    [
        ({"SLURM_JOB_ID": "42"}, "42", None),
        ({"SLURM_JOB_ID": "44", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "7"}, "42", 7),
        ({"PBS_JOBID": "42.host.site"}, "42.host.site", None),
        ({"PBS_JOBID": "42[7].host", "PBS_ARRAY_INDEX": "7"}, "42[].host", 7),
        ({"LSB_JOBID": "42", "LSB_JOBINDEX": "0"}, "42", None),
        ({"LSB_JOBID": "42", "LSB_JOBINDEX": "7"}, "42", 7),
        ({"FLUX_JOB_ID": "ƒ2oLkTLb"}, "ƒ2oLkTLb", None),
        ({"COBALT_JOBID": "42"}, "42", None),
        ({"IRI_JOB_ID": "42"}, "42", None),
        ({"SLURM_JOB_ID": "4 2/x\ny"}, "4_2_x_y", None),
        ({"IRI_JOB_ID": "-n"}, "-n", None),
        ({"IRI_JOB_ID": "$x*"}, "$x*", None),
    ],
)
def test_each_scheduler_has_its_name_for_the_job(
    place: Place, environment: dict[str, str], job: str, index: int | None
) -> None:
    assert place.run(sh("exit 3"), environment={"IRI_JOB_ID": "", **environment}).code == 3
    assert place.owner() == job
    (attempt,) = place.lines(index).splitlines()[-1:]
    assert attempt.split()[:4] == ["ended", job, "0", "3"]
    again = place.run(sh("exit 4"), environment={"IRI_JOB_ID": "", **environment})
    assert again.code == 4, "its own id lets it pass"


def test_the_owner_file_tells_of_the_spec(place: Place) -> None:
    place.guard = Guard(place.guard.key, root=place.guard.root, digest="ab12")
    place.run(sh(":"))
    text = (place.directory / place.guard.owner_name).read_text()
    assert (read_owner(text), read_spec_digest(text)) == ("1", "ab12")
    assert place.run(sh(":"), job="2").code == GuardCode.DOUBLE


# ------------------------------------------------------------------------------------ queued again


def test_queued_again_it_works_again_until_it_has_succeeded(place: Place, tmp_path: Path) -> None:
    def attempt(number: int, code: int) -> int:
        environment = {"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": str(number)}
        return place.run(work(tmp_path / "log", f"exit {code}"), environment=environment).code

    assert [attempt(0, 3), attempt(1, 0)] == [3, 0]
    begun = time.monotonic()
    assert attempt(2, 9) == 0
    assert time.monotonic() - begun < 15
    assert len(worked(tmp_path / "log")) == 2
    assert [(run.number, run.code) for run in place.journal.attempts] == [(0, 3), (1, 0)]
    assert place.journal.certain


def test_a_torn_line_does_not_swallow_the_next(place: Place) -> None:
    place.run(sh("exit 3"))
    with (place.directory / "1.journal").open("a") as journal:
        journal.write("ended 1 0")
    place.run(sh("exit 4"), environment={"IRI_RESTART_COUNT": "1"})
    assert [(run.number, run.code) for run in place.journal.attempts] == [(0, 3), (1, 4)]
    assert all(run.started for run in place.journal.attempts)


def test_success_of_one_of_several_processes_is_not_success_of_the_job(place: Place, tmp_path: Path) -> None:
    ranks = {"IRI_PROCESS_ID": "1"}
    first = place.start(work(tmp_path / "log"), environment=ranks)
    assert place.run(work(tmp_path / "log")).code == 0
    assert ended(first).code == 0
    assert place.journal.attempts[0].parallel
    assert place.run(work(tmp_path / "log"), environment={"IRI_RESTART_COUNT": "1"}).code == 0
    assert len(worked(tmp_path / "log")) == 3


# ------------------------------------------------------------------------------------------- ranks

RANKS = [
    ["SLURM_PROCID"],
    ["PMI_RANK"],
    ["PMIX_RANK"],
    ["OMPI_COMM_WORLD_RANK"],
    ["PALS_RANKID"],
    ["FLUX_TASK_RANK"],
    ["IRI_PROCESS_ID"],
]


@pytest.mark.parametrize("names", RANKS, ids=lambda names: names[0])
def test_all_processes_of_a_job_work_and_one_writes(place: Place, tmp_path: Path, names: list[str]) -> None:
    # Under mpiexec in a batch job, Slurm's number is the batch shell's in every process.
    def start(rank: int, job: str):
        environment = {"SLURM_PROCID": "0", **dict.fromkeys(names, str(rank))}
        return place.start(work(tmp_path / f"log-{job}", f"exit {rank % 4}"), job, environment)

    jobs = [start(rank, "1") for rank in (3, 1, 2, 0)]
    assert [ended(job).code for job in jobs] == [3, 1, 2, 0]
    assert len(worked(tmp_path / "log-1")) == 4
    assert place.lines().count("started") == 1
    (attempt,) = place.journal.attempts
    assert (attempt.exit_code, attempt.failed_ranks) == (0, {1: 1, 2: 2, 3: 3})
    assert (attempt.code, place.journal.ended, place.journal.certain) == (1, True, True)
    doubles = [start(rank, "2") for rank in (3, 1, 0)]
    assert [ended(job).code for job in doubles] == [GuardCode.DOUBLE] * 3
    assert not worked(tmp_path / "log-2")


def test_eight_processes_of_a_job_and_of_its_double_at_once(place: Place, tmp_path: Path) -> None:
    jobs = {
        job: [place.start(work(tmp_path / "log"), job, {"PMI_RANK": str(rank)}) for rank in range(8)]
        for job in ("1", "2")
    }
    codes = {job: {ended(each).code for each in processes} for job, processes in jobs.items()}
    winner = place.owner()
    loser = {"1": "2", "2": "1"}[winner]
    assert codes == {winner: {0}, loser: {GuardCode.DOUBLE}}
    assert worked(tmp_path / "log") == [winner] * 8
    assert place.lines().count("started") == 1


# ------------------------------------------------------------------------------------------ arrays


def test_an_array_has_one_owner_and_a_journal_for_each_task(place: Place, tmp_path: Path) -> None:
    def start(job: str, task: int):
        environment = {"SLURM_JOB_ID": f"{job}{task}", "SLURM_ARRAY_JOB_ID": job}
        return place.start(
            sh(f"exit {task}"), "", {**environment, "SLURM_ARRAY_TASK_ID": str(task), "HOME": "/"}
        )

    tasks = [start("5", task) for task in range(4)]
    assert [ended(task).code for task in tasks] == [0, 1, 2, 3]
    doubles = [start("6", task) for task in range(4)]
    assert [ended(task).code for task in doubles] == [GuardCode.DOUBLE] * 4
    assert place.owner() == "5"
    assert files(place) == {"1.owner", *(place.guard.journal_name(task) for task in range(4))}
    assert place.lines(2).split()[:2] == ["started", "5"]
    assert ended(start("5", 0)).stderr.startswith("iri: job 5 had done its work")


# -------------------------------------------------------------------------------- when it cannot be


def test_a_directory_in_the_owners_place_cancels(place: Place, tmp_path: Path) -> None:
    (place.directory / "1.owner").mkdir(parents=True)
    jobs = [place.start(work(tmp_path / "log"), str(n), {"PMI_RANK": str(n)}) for n in range(2)]
    results = [ended(job) for job in jobs]
    assert {result.code for result in results} == {GuardCode.CANCELED}
    assert all(result.stderr.startswith("iri: canceled before it began") for result in results)
    assert not worked(tmp_path / "log")
    assert files(place) == {"1.owner"}
    assert not list((place.directory / "1.owner").iterdir())


def test_a_cancel_while_the_job_begins_is_seen_by_both_or_by_none(place: Place, tmp_path: Path) -> None:
    seen = set()
    for number in range(25):
        place.guard = Guard(JobKey.random(), root=place.guard.root)
        place.directory.mkdir(parents=True)
        job = place.start(work(tmp_path / str(number)), job="1")
        time.sleep(number * 0.0005)
        try:
            (place.directory / "1.owner").mkdir()
            canceled = True
        except FileExistsError:
            canceled = False
        code = ended(job).code
        assert (code, bool(worked(tmp_path / str(number)))) == (
            (GuardCode.CANCELED, False) if canceled else (0, True)
        )
        assert not list(place.directory.glob("1.1*")), "no private file stays"
        seen.add(canceled)
    assert True in seen


def test_a_cancel_between_the_look_and_the_link_is_seen(place: Place, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ln").write_text('#!/bin/sh\nmkdir "$3"\nexec /bin/ln "$@"\n')
    (tmp_path / "bin" / "ln").chmod(0o700)
    environment = {"PATH": f"{tmp_path}/bin:{os.defpath}"}
    result = place.run(work(tmp_path / "log"), environment=environment)
    assert (result.code, worked(tmp_path / "log")) == (GuardCode.CANCELED, [])
    assert files(place) == {"1.owner"}
    assert not list((place.directory / "1.owner").iterdir()), "the link that was made in it is gone"


def test_no_directory_can_be_made(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place.guard = Guard(place.guard.key, root=str(tmp_path / "file" / "root"))
    result = place.run(work(tmp_path / "log"))
    assert (result.code, result.stderr.count("\n")) == (GuardCode.NO_DIRECTORY, 1)
    assert result.stderr.startswith("iri: no directory: cannot make ")
    assert not worked(tmp_path / "log")


def as_nobody(arguments: list[str]) -> list[str]:
    if os.geteuid():
        return arguments
    if not shutil.which("setpriv"):
        pytest.skip("needs to give up the rights of root")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *arguments]


@pytest.mark.parametrize("exists", [False, True], ids=["root", "directory"])
def test_no_right_to_write(place: Place, exists: bool) -> None:
    target = place.directory if exists else place.root
    target.mkdir(parents=True)
    for each in (place.root, target):
        each.chmod(0o555)
    for parent in list(place.root.parents)[:3]:
        parent.chmod(0o755)  # pytest's own directories are private
    place.shell = as_nobody([str(shutil.which(place.shell[0])), *place.shell[1:]])
    result = place.run(sh(":"))
    assert (result.code, result.stderr.count("\n")) == (GuardCode.NO_DIRECTORY, 1), result.stderr
    assert "ermission denied" in result.stderr


def test_without_a_home_in_the_environment_the_systems_list_of_users_serves(place: Place) -> None:
    place.guard = Guard(place.guard.key)
    home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    directory = Path(str(place.guard.directory_at(str(home))))
    try:
        result = place.run(sh("echo $HOME"), environment={"HOME": "relative", "PATH": "/nowhere"})
        assert (result.code, result.stdout) == (0, b"relative\n")
        assert (directory / "1.owner").read_text() == "1\n"
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # others may be in use
            directory.parent.rmdir()


def test_the_home_of_the_jobs_shell_is_the_default(place: Place, tmp_path: Path) -> None:
    place.guard = Guard(place.guard.key)
    home = tmp_path / "a home '\"$x"
    assert place.run(sh("exit 3"), environment={"HOME": str(home)}).code == 3
    directory = Path(str(place.guard.directory_at(str(home))))
    assert directory == home / ".iri" / place.guard.key.digest
    assert (directory / "1.owner").read_text() == "1\n"
    for each, mode in {directory: 0o700, home / ".iri": 0o700, directory / "1.journal": 0o600}.items():
        assert each.stat().st_mode & 0o777 == mode


def test_an_owner_that_says_nothing_is_nobodys_double(place: Place, tmp_path: Path) -> None:
    place.directory.mkdir(parents=True)
    (place.directory / "1.owner").write_text("")
    result = place.run(work(tmp_path / "log"))
    assert (result.code, worked(tmp_path / "log")) == (GuardCode.FAILED, [])
    assert "is empty or cannot be read" in result.stderr


# ------------------------------------------------------------------------------------------- space


def test_what_was_not_kept_is_no_space(place: Place, tmp_path: Path) -> None:
    place.directory.mkdir(parents=True)
    limited = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "limited"]
    place.shell = [*limited, str(shutil.which(place.shell[0])), *place.shell[1:]]
    result = place.run({"executable": "/bin/true"})
    assert result.code == GuardCode.NO_SPACE, result.stderr
    assert "iri: no space: " in result.stderr
    assert files(place) == set()


@pytest.fixture
def small(tmp_path: Path):
    """A file system of its own with room for nothing much."""
    target = tmp_path / "small"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=8", "tmpfs", str(target)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield target
    subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("full", ["blocks", "inodes"])
def test_a_full_file_system_is_no_space(place: Place, small: Path, full: str) -> None:
    place.guard = Guard(place.guard.key, root=str(small))
    place.directory.mkdir()
    if full == "blocks":
        with pytest.raises(OSError, match="No space"):
            (small / "filler").write_bytes(b"x" * 100_000)
    else:
        with contextlib.suppress(OSError):
            for number in range(20):
                (small / str(number)).touch()
        assert os.statvfs(small).f_ffree == 0
    result = place.run(sh("echo worked"))
    assert (result.code, result.stdout) == (GuardCode.NO_SPACE, b""), result.stderr
    assert result.stderr.startswith("iri: no space: ")
    assert result.stderr.count("\n") == 1
    assert files(place) == set()


def test_a_journal_that_cannot_be_kept_stops_it_before_it_begins(place: Place, small: Path) -> None:
    place.guard = Guard(place.guard.key, root=str(small))
    place.directory.mkdir()
    (place.directory / "1.owner").write_text("1\n")
    with pytest.raises(OSError, match="No space"):
        (small / "filler").write_bytes(b"x" * 100_000)
    result = place.run(sh("echo worked"))
    assert (result.code, result.stdout) == (GuardCode.NO_SPACE, b""), result.stderr
    assert not place.journal.began


def test_a_program_that_fills_the_disk_keeps_its_exit_code(place: Place, small: Path) -> None:
    place.guard = Guard(place.guard.key, root=str(small))
    fill = (
        "import sys; f = open(sys.argv[1], 'wb', 0)\n"
        "try:\n  while f.write(b'x' * 512): pass\nexcept OSError: sys.exit(7)"
    )
    result = place.run(python(fill, str(small / "filler")))
    assert result.code == 7
    # The journal's first page has room left, or its end is said on standard error.
    assert place.journal.exit_code == 7 or "iri: cannot write" in result.stderr


# ----------------------------------------------------------------------------------------- in Python


@pytest.mark.parametrize("root", ["", "relative", "~/x", "/a\nb", "/a\0b", "/\ud800"])
def test_a_root_that_could_be_misread_is_refused(root: str) -> None:
    with pytest.raises(UsageError):
        Guard(JobKey.of("a"), root=root)


def test_where_its_files_are_is_known_to_the_client() -> None:
    key = JobKey.of("a", generation=3)
    guard = Guard(key, root="/guards/")
    assert guard.directory_at(None) == f"/guards/{key.digest}"
    assert Guard(key).directory_at("/home/me") == f"/home/me/.iri/{key.digest}"
    assert [Guard(key).directory_at(home) for home in (None, "", "me")] == [None] * 3
    assert (guard.owner_name, guard.journal_name(), guard.journal_name(0)) == (
        "3.owner",
        "3.journal",
        "3.journal.0",
    )
    with pytest.raises(UsageError, match="digest"):
        Guard(key, digest="a b")


def test_each_code_says_what_it_means() -> None:
    assert [int(code) for code in GuardCode] == [211, 212, 213, 214, 215, 248]
    assert len({code.meaning for code in GuardCode} | {code.advice for code in GuardCode}) == 12
    assert GuardCode.of(211) is GuardCode.DOUBLE
    assert [GuardCode.of(code) for code in (None, 0, 1, 210, 216)] == [None] * 5
