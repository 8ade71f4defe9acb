"""A scripted facility with its ledger, ready to be asked for jobs; and the ways in which a submit can go."""

from __future__ import annotations

import time

from jobs_world import MemoryLedger, ScriptedDialect, ScriptedJobs, failing, status, timeless

from iri_common import AmbiguousReply, JobKey, JobRef, JobSpec
from iri_common.jobs.submit import DoorMemory, Submitter
from iri_common.model.job import Accepted
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.outcome import Done
from iri_common.model.submission import Submission

KEY = JobKey.of("test", "dag", 1)
SPEC = JobSpec(executable="/bin/true", name="probe")


class Door:
    """A scripted facility with its ledger, ready to be asked."""

    def __init__(self, *script, looking=(), ledger=None, origin="facility.example", **grades) -> None:
        self.jobs = ScriptedJobs(script=list(script), looking=list(looking))
        self.dialect = ScriptedDialect(self.jobs, **grades)
        self.ledger = ledger or MemoryLedger()
        self.memory = DoorMemory()
        self.origin = origin

    def submitter(self) -> Submitter:
        return Submitter(
            self.dialect, self.ledger, self.memory, origin=self.origin, label="test", profile="test"
        )

    def ask(self, key=KEY, spec=SPEC, resource="machine", seen_before=False, guarded=False) -> JobRef:
        submission = Submission(spec, resource, key, seen_before, guarded)
        return timeless(lambda: self.submitter().submit(submission))

    def remember(
        self, stage: Stage, *, age: float = 3600.0, key=KEY, spec=SPEC, resource="machine", **words
    ) -> None:
        """What a process that crashed left in the ledger."""
        ref = JobRef(self.origin, "iri", resource, key, profile="test")
        then = time.time() - age
        record = LedgerRecord(key.identity, key.generation, stage, str(ref), spec.digest(), then, **words)
        self.ledger.records[key.identity] = record


def takes_it_and_loses_the_reply(jobs, ask):
    jobs.run(ask)
    return failing(AmbiguousReply, "reply lost")


def lose_the_reply(jobs, ask):
    return failing(AmbiguousReply, "reply lost")


def hit(jobs, ask):
    return Done(Accepted("1", status("queued"), True))
