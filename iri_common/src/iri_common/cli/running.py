"""``iri run`` and ``iri submit``: ask for a job, follow it, bring back what it wrote."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from iri_common.cli import preview
from iri_common.cli.asking import STEPS, Ask, ask_of
from iri_common.cli.documents import grades_words, principal_words, ref_words, status_words
from iri_common.cli.door import open_facility, same_door, work_directory
from iri_common.cli.exits import Exit, exit_of_status, propagated
from iri_common.cli.following import result_shown
from iri_common.cli.guarded import Interrupted, error_words, tell_error, unread
from iri_common.cli.jobspec import amount, job_spec
from iri_common.cli.moving import Move, get_all, gets_of, put_all, puts_of
from iri_common.cli.options import AskWords, DoorWords, JobWords
from iri_common.cli.speak import Screen
from iri_common.jobside.amounts import seconds_of
from iri_common.model.credential import Principal
from iri_common.model.errors import IriError, JobFailed, UsageError, WaitTimeout
from iri_common.model.job import JobStatus
from iri_common.model.ref import JobRef

if TYPE_CHECKING:
    from iri_common.facility.facility import Facility
    from iri_common.model.grades import Grades
    from iri_common.policy.generation import GenerationStep

PATIENCE_OF_CI = 5.0  # seconds: a cancelled workflow's step is killed some seven seconds after its SIGINT


@dataclass(frozen=True, slots=True)
class RunWords:
    """What ``iri run`` does beside asking."""

    timeout: str | None = None
    lines: int = 20
    put: Sequence[str] = ()
    get: Sequence[str] = ()
    propagate: bool = False
    cancel_on_interrupt: bool = False
    follow: bool = False


@dataclass(slots=True)
class Story:
    """What is known of a run so far: it is told whole, however the run ends."""

    ask: Ask
    grades: Grades
    ref: JobRef | None = None
    step: GenerationStep | None = None
    status: JobStatus | None = None
    principal: Principal | None = None
    put: list[Move] = field(default_factory=list[Move])
    got: list[Move] = field(default_factory=list[Move])
    stdout: str = ""
    stderr: str = ""

    def document(self, code: int, **others: Any) -> dict[str, Any]:
        """For a program."""
        which = ref_words(self.ref) if self.ref else {"ref": None, "key": self.ask.key.identity}
        return {
            "ok": code == 0,
            "exit": int(code),
            **which,
            "step": str(self.step) if self.step else None,
            "grades": grades_words(self.grades),
            **principal_words(self.principal),
            **status_words(self.status),
            "stdout": self.stdout,
            "stderr": self.stderr,
            "put": [{"source": each.source, "target": each.target} for each in self.put],
            "got": [{"source": each.source, "target": each.target} for each in self.got],
            **others,
        }


def submit(screen: Screen, door: DoorWords, job: JobWords, ask: AskWords, command: Sequence[str]) -> int:
    """Ask for a job and give its reference at once."""
    facility = open_facility(door)
    wanted = ask_of(job_spec(job, command), job.resource, ask)
    if ask.dry_run:
        return preview.show(screen, facility, wanted)
    story = Story(wanted, wanted.grades(facility))
    try:
        story.ref, story.step = wanted.make(facility)
    except Interrupted as stop:
        return _left(screen, facility, story, stop, door, cancel=False)
    if screen.as_json:
        screen.document(story.document(Exit.OK))
    else:
        screen.say(f"{story.ref.describe()}: {STEPS[story.step]}; {story.grades.once}", "dim")
        screen.result(str(story.ref))
    return Exit.OK


def run(
    screen: Screen, door: DoorWords, job: JobWords, ask: AskWords, words: RunWords, command: Sequence[str]
) -> int:
    """Ask for a job, wait for its end, show what it wrote last."""
    if words.follow and screen.as_json:
        raise UsageError("--follow shows the output as it comes, --json gives one document at the end")
    facility = open_facility(door)
    spec = job_spec(job, command)
    directory = spec.directory or work_directory(door, job.resource)
    puts, gets = puts_of(words.put, directory), gets_of(words.get, directory)
    timeout = amount("--timeout", seconds_of, words.timeout)
    wanted = ask_of(spec, job.resource, ask)
    if ask.dry_run:
        return preview.show(screen, facility, wanted, puts, gets)
    story = Story(wanted, wanted.grades(facility))
    try:
        story.ref, story.step = wanted.make(facility, partial(_put, facility, puts, screen, story))
        screen.say(f"{story.ref.describe()}: {STEPS[story.step]}")
        if screen.as_json:
            story.principal = _whose(facility)
        _follow(screen, facility, story, timeout, shown=words.follow)
        if not words.follow:
            _show_output(screen, facility, story, words.lines)
        story.got = get_all(
            facility, gets, screen, succeeded=story.status is not None and story.status.succeeded
        )
    except Interrupted as stop:
        return _left(screen, facility, story, stop, door, cancel=words.cancel_on_interrupt)
    except BrokenPipeError:
        return _unread(screen, story, door)
    except IriError as error:
        return _failed(screen, story, error, door)
    return _ended(screen, story, propagate=words.propagate)


async def _put(facility: Facility, puts: list[Move], screen: Screen, story: Story) -> None:
    await put_all(facility, puts, screen)
    story.put = puts


def _whose(facility: Facility) -> Principal | None:
    try:
        return facility.accounts.principal()
    except IriError:  # some tell nothing of that
        return None


def _follow(screen: Screen, facility: Facility, story: Story, timeout: float | None, *, shown: bool) -> None:
    """Wait, telling every new state; a job that ends as another's double leads to that one."""

    def tell(status: JobStatus) -> None:
        story.status = status
        screen.change(str(status.state), status.describe())

    assert story.ref is not None
    try:
        if shown:
            result = result_shown(screen, facility, story.ref, timeout, tell)
        else:
            result = facility.jobs.result(story.ref, timeout=timeout, on_change=tell)
        story.ref, story.status = result.ref, result.status
    except JobFailed as failure:
        story.ref, story.status, story.stderr = failure.ref, failure.job_status, failure.stderr_tail


def _show_output(screen: Screen, facility: Facility, story: Story, lines: int) -> None:
    assert story.ref is not None
    index = next(iter(story.status.failed_tasks), None) if story.status else None
    if story.ref.array and index is None:
        screen.say(f"Each task wrote for itself: iri logs --index N {shlex.quote(str(story.ref))}", "dim")
        return
    story.stdout = facility.jobs.tail(story.ref, "stdout", lines=lines, index=index)
    if not story.stderr or lines != 20:  # a failure brings 20 lines along
        story.stderr = facility.jobs.tail(story.ref, "stderr", lines=lines, index=index)
    if screen.as_json:
        return
    screen.result(story.stdout)
    screen.words_of_job(story.stderr)
    for stream, text in (("stdout", story.stdout), ("stderr", story.stderr)):
        if text.count("\n") >= lines:
            screen.say(f"(the last {lines} lines of {stream}; --lines shows more)", "dim")


def _ended(screen: Screen, story: Story, *, propagate: bool) -> int:
    assert story.status is not None
    code = propagated(story.status) if propagate else exit_of_status(story.status)
    if story.status.reason and story.status.reason.advice:
        screen.say(f"{story.status.reason.advice}.", "yellow")
    if screen.as_json:
        screen.document(story.document(code))
    return code


def _failed(screen: Screen, story: Story, error: IriError, door: DoorWords) -> int:
    """An error ended the run; where a job was asked for, tell how to come back to it."""
    code = tell_error(screen, error, quiet=True)
    if story.ref is not None and code in {Exit.TIMEOUT, Exit.AUTH, Exit.DOWN, Exit.OTHER}:
        _tell_way_back(screen, "The job goes on; come back to it with:", story.ref, door)
    elif code is Exit.UNCERTAIN:
        _tell_key(screen, story.ask)
    if screen.as_json:
        screen.document(story.document(code, error=error_words(error)))
    return code


def _left(
    screen: Screen, facility: Facility, story: Story, stop: Interrupted, door: DoorWords, *, cancel: bool
) -> int:
    """Ctrl-C: leave the job and tell the way back, or cancel it. A second one ends this too."""
    outcome: dict[str, Any] = {"interrupted": True, "canceled": False}
    if cancel:
        try:
            _cancel(screen, facility, story)
            outcome["canceled"] = True
        except IriError as error:
            outcome["error"] = error_words(error)
            screen.complain(f"the job could not be cancelled: {error}")
        except Interrupted as again:
            stop = again
    if story.ref is not None and not outcome["canceled"]:
        _tell_way_back(screen, "Interrupted. The job goes on; come back to it with:", story.ref, door)
    elif story.ref is None and not outcome["canceled"]:
        screen.say("Interrupted before the facility had answered: the job may be there or not.", "yellow")
        _tell_key(screen, story.ask)
    if screen.as_json:
        screen.document(story.document(stop.code, **outcome))
    return stop.code


def _unread(screen: Screen, story: Story, door: DoorWords) -> int:
    """Whoever read the output has gone, as `head` does; the job is left alone."""
    code = unread()
    if story.ref is not None and not (story.status and story.status.state.terminal):
        words = "Nobody reads the output any more. The job goes on; come back to it with:"
        _tell_way_back(screen, words, story.ref, door)
    return code


def _cancel(screen: Screen, facility: Facility, story: Story) -> None:
    screen.say("Interrupted; cancelling the job (again to leave at once)", "yellow")
    if story.ref is None:
        facility.jobs.cancel(story.ask.key, resource=story.ask.words.get("resource"))
        screen.say("cancelled: whatever was asked for under this key does not run", "magenta")
        return
    facility.jobs.cancel(story.ref)
    try:
        story.status = facility.jobs.wait(story.ref, timeout=PATIENCE_OF_CI)
        screen.change(str(story.status.state), story.status.describe())
    except WaitTimeout:
        screen.say("the facility has taken the cancel and works on it")


def _tell_way_back(screen: Screen, words: str, ref: JobRef, door: DoorWords) -> None:
    screen.say(words, "yellow")
    screen.copyable(f"iri wait{same_door(door, ref.profile)} --key {shlex.quote(ref.key.identity)}")


def _tell_key(screen: Screen, ask: Ask) -> None:
    screen.say(
        "The same command with this key finds the job, and submits it only if it is not there:", "yellow"
    )
    screen.copyable(f"iri run --key {shlex.quote(ask.key.identity)} …")
