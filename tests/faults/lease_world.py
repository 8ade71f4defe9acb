"""What is asked for once, stands for a while and is given back: path, nodes, both, run of a flow, stream.

One face for all, so that the same tests go through all of them; run as a program, this is their client,
which ends itself at a step that was chosen before: one is forked for each plan, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from asking_client import HURRY

from iri_common import (
    Facility,
    FileLedger,
    Flows,
    GlobusCredential,
    JobKey,
    NodesIntent,
    PathAndNodes,
    PathAndNodesIntent,
    PathEnd,
    PathIntent,
    StreamIntent,
)
from iri_common.apis.globus.flows import GlobusFlows
from iri_common.apis.sense.networks import SenseNetworks
from iri_common.apis.slurm.reservations import SlurmReservations
from iri_common.apis.slurm.streaming import S3mStreaming
from iri_common.auth.vault import FileVault
from iri_common.policy.globus_tasks import TaskPace

PATIENCE = 30.0
NODES = NodesIntent(1, 3600)


@dataclass(frozen=True)
class Asker:
    """Asks for one kind of thing.

    Attributes:
        words: The facility's, and whose ledger.
    """

    words: Mapping[str, str]

    # What the facility's log calls a request for one, the looks at it, and the request for its end.
    operations: ClassVar[tuple[str, str | list[str], str]]
    apis: ClassVar[tuple[type, ...]]
    # The calls of those APIs, and what is written here, in order; between each two somebody may die.
    asking: ClassVar[tuple[str, ...]]
    giving: ClassVar[tuple[str, ...]]
    # After a death there nobody knows whether the request has left.
    in_the_dark: ClassVar[tuple[str, ...]] = ()

    @property
    def ledger(self) -> FileLedger:
        return FileLedger(Path(self.words["folder"]) / "ledger")

    def door(self, **words: Any) -> Facility:
        return Facility(name="place", poll_seconds=0.03, ledger=self.ledger, **words)

    @property
    def network(self) -> Facility:
        return self.door(url=self.words["sense"], token=self.words["token"], dialect="sense")

    @property
    def path(self) -> PathIntent:
        return PathIntent([PathEnd(each) for each in self.words["ports"].split()[:2]], mbps=1)

    @property
    def cluster(self) -> Facility:
        words = {"user": self.words["slurm_user"], "token": self.words["slurm_token"]}
        return self.door(url=self.words["slurm"], dialect="slurm", **words)


class Paths(Asker):
    """Through a network."""

    operations = ("senseProvision", "senseInstance", "senseCancel")
    apis = (SenseNetworks,)
    asking = (
        "after find",
        "after new",
        "after write intent",
        "after compute",
        "after write sent",
        "before provision",
        "after provision",
        "before write accepted",
        "after write accepted",
        "after status 3",
    )
    giving = ("before cancel", "after cancel", "before delete", "after delete")

    @property
    def networks(self) -> Any:
        return self.network.networks

    def ask(self, key: JobKey) -> str:
        return str(self.networks.provision(self.path, key=key).ref)

    def wait(self, thing: str) -> None:
        self.networks.wait(thing, timeout=PATIENCE)

    def give_back(self, key: JobKey) -> None:
        self.networks.give_back(key, timeout=PATIENCE)

    def another(self, key: JobKey) -> AbstractContextManager[Any]:
        return self.networks.lease(replace(self.path, mbps=2), key=key, timeout=PATIENCE)


class Nodes(Asker):
    """Of a cluster."""

    operations = ("slurmReserve", "slurmReservations", "slurmUnreserve")
    apis = (SlurmReservations,)
    asking = (
        "after write intent",
        "after reservations",
        "after write sent",
        "before create",
        "after create",
        "before write accepted",
        "after write accepted",
        "after reservations 2",
    )
    giving = ("before delete", "after delete", "after reservations 4")

    def ask(self, key: JobKey) -> str:
        return str(self.cluster.reservations.provision(NODES, key=key).ref)

    def wait(self, thing: str) -> None:
        self.cluster.reservations.wait(thing, timeout=PATIENCE)

    def give_back(self, key: JobKey) -> None:
        self.cluster.reservations.give_back(key, timeout=PATIENCE)

    def another(self, key: JobKey) -> AbstractContextManager[Any]:
        return self.cluster.reservations.lease(NodesIntent(2, 3600), key=key, timeout=PATIENCE)


class Both(Asker):
    """A path and nodes."""

    operations = ("senseProvision", ["slurmReservations", "senseInstance"], "slurmUnreserve")
    apis = (SlurmReservations, SenseNetworks)
    asking = (
        "before reservations",
        "before create",
        "after create",
        "after write accepted",
        "after find",
        "after new",
        "after write intent 2",
        "after compute",
        "after write sent 2",
        "before provision",
        "after provision",
        "after write accepted 2",
        "after status 3",
    )
    giving = (
        "before SlurmReservations.delete",
        "after SlurmReservations.delete",
        "before cancel",
        "after cancel",
        "before SenseNetworks.delete",
        "after SenseNetworks.delete",
    )

    @property
    def both(self) -> PathAndNodes:
        return PathAndNodes(self.network, self.cluster, ledger=self.ledger)

    def ask(self, key: JobKey) -> str:
        lease = self.both.set_up(PathAndNodesIntent(self.path, NODES), key=key, timeout=PATIENCE)
        assert lease.ready
        return str(key)

    def wait(self, thing: str) -> None:
        assert self.both.status(JobKey.parse(thing)).ready

    def give_back(self, key: JobKey) -> None:
        self.both.release(key, timeout=PATIENCE)


class Streams(Asker):
    """Clusters of message brokers."""

    operations = ("s3mProvision", "s3mCluster", "s3mRelease")
    apis = (S3mStreaming,)
    asking = (
        "after write intent",
        "after backends",
        "after write sent",
        "before provision",
        "after provision",
        "before keep",
        "after keep",
        "before write accepted",
        "after write accepted",
        "after cluster 2",  # a look at none is an error, and the first at one may see it up
    )
    giving = ("before release", "after release", "before drop 2", "after drop 2")

    @property
    def streams(self) -> Any:
        words = {"dialect": "slurm", "site": "s3m", "token": self.words["mesh_token"]}
        return self.door(url=self.words["mesh"], **words).streams

    def ask(self, key: JobKey) -> str:
        return str(self.streams.provision(StreamIntent("redis"), key=key).ref)

    def wait(self, thing: str) -> None:
        assert self.streams.access(self.streams.wait(thing, timeout=PATIENCE)).password

    def give_back(self, key: JobKey) -> None:
        self.streams.give_back(key, timeout=PATIENCE)

    def another(self, key: JobKey) -> AbstractContextManager[Any]:
        return self.streams.lease(StreamIntent("redis", settings={"cpus": 2}), key=key, timeout=PATIENCE)


class Runs(Asker):
    """Of a flow."""

    operations = ("globusRunFlow", ["globusListRuns", "globusGetRun"], "globusCancelRun")
    apis = (GlobusFlows,)
    asking = (
        "after write intent",
        "after write sent",
        "before start",
        "after start",
        "before write accepted",
        "after write accepted",
        "after runs",
    )
    giving = ("before cancel", "after cancel")
    in_the_dark = ("after write sent", "before start")

    @property
    def flows(self) -> Flows:
        credential = GlobusCredential(self.words["client"], lambda: self.words["secret"])
        return Flows(credential, ledger=self.ledger, pace=TaskPace(0.03, 0.05))

    def ask(self, key: JobKey) -> str:
        return self.flows.start(self.words["flow"], {}, key=key)

    def wait(self, thing: str) -> None:
        assert self.flows.wait(thing, timeout=PATIENCE).run_id == thing

    def give_back(self, key: JobKey) -> None:
        for ref in self.flows.mine():
            if ref.key == key:
                self.flows.cancel(ref.job_id or "")


KINDS: Mapping[str, type[Any]] = {
    "path": Paths,
    "nodes": Nodes,
    "both": Both,
    "run": Runs,
    "stream": Streams,
}


@dataclass(frozen=True)
class Plan:
    """One client: it asks, waits, gives back, and dies at a step on its way."""

    kind: str
    words: Mapping[str, str]
    key: str
    step: str

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def die_at(step: str, apis: Sequence[type]) -> None:
    """From now on this process ends at that step."""
    when, _, name = step.partition(" ")
    name, _, nth = name.rpartition(" ") if name.split()[-1].isdecimal() else (name, "", "1")
    left = [int(nth)]

    def passes(moment: str, what: str) -> None:
        if moment != when or name not in (what, what.rpartition(".")[2]):
            return
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(of: type, method: str, what: str | None = None) -> None:
        true = getattr(of, method)

        async def awaited(self, *args, **words):
            passes("before", what or method)
            done = await true(self, *args, **words)
            passes("after", what or method)
            return done

        def called(self, record, owner):
            passes("before", f"write {record.stage}")
            done = true(self, record, owner)
            passes("after", f"write {record.stage}")
            return done

        setattr(of, method, awaited if asyncio.iscoroutinefunction(true) else called)

    for api in apis:
        for method in [each for each in vars(api) if not each.startswith("_")]:
            watched(api, method, f"{api.__name__}.{method}")
    for method in ("keep", "drop"):
        watched(FileVault, method)
    watched(FileLedger, "_write")


def main() -> None:
    for where, name, value in HURRY:
        setattr(where, name, value)
    children = []
    for line in sys.stdin:
        plan = Plan(**json.loads(line))
        if child := os.fork():
            children.append(child)
            continue
        asker, key = KINDS[plan.kind](plan.words), JobKey.parse(plan.key)
        die_at(plan.step, asker.apis)
        asker.wait(asker.ask(key))
        asker.give_back(key)
        os._exit(0)
    sys.stdout.write(json.dumps([os.waitpid(child, 0)[1] for child in children]))


if __name__ == "__main__":
    main()
