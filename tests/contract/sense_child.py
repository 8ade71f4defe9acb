"""Clients of a network that kill themselves at a step: one is forked for each plan, a line of JSON each."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

from iri_common import Facility, FileLedger, JobKey, PathEnd, PathIntent
from iri_common.http.transport import HttpxTransport

REQUESTS = {
    r"GET .*/discover/service/instances": "find",
    r"GET .*/instance$": "new",
    r"POST .*/instance/[^/]+$": "compute",
    r"PUT .*/provision$": "provision",
    r"GET .*/instance/[^/]+$": "status",
}
REQUEST_STEPS = [f"{when} {step}" for step in REQUESTS.values() for when in ("before", "after")]
WRITE_STEPS = [
    f"{when} write {stage}" for stage in ("intent", "sent", "accepted") for when in ("before", "after")
]
STEPS = [*REQUEST_STEPS, *WRITE_STEPS]


def die_at(step: str) -> None:
    """From now on this process ends at that step."""
    send, write = HttpxTransport.send, FileLedger._write

    def die(moment: str) -> None:
        if moment == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def sent(self, request):
        line = f"{request.method} {request.url}"
        name = next((name for pattern, name in REQUESTS.items() if re.match(pattern, line)), "other")
        die(f"before {name}")
        reply = await send(self, request)
        die(f"after {name}")
        return reply

    def written(self, record, owner):
        die(f"before write {record.stage}")
        done = write(self, record, owner)
        die(f"after write {record.stage}")
        return done

    HttpxTransport.send, FileLedger._write = sent, written


def door(url: str, token: str, folder: str) -> Facility:
    ledger = FileLedger(Path(folder) / "ledger")
    return Facility(url, token=token, dialect="sense", name="net", poll_seconds=0.03, ledger=ledger)


def intent(ports: list[str], name: str = "flow", mbps: int = 100) -> PathIntent:
    return PathIntent([PathEnd(each) for each in ports[:2]], mbps=mbps, name=name)


def main() -> None:
    children = []
    for line in sys.stdin:
        plan = json.loads(line)
        if child := os.fork():
            children.append(child)
            continue
        die_at(plan["step"])
        wanted = intent(plan["ports"])
        door(plan["url"], plan["token"], plan["folder"]).networks.provision(wanted, key=JobKey(plan["key"]))
        os._exit(0)
    sys.stdout.write(json.dumps([os.waitpid(child, 0)[1] for child in children]))


if __name__ == "__main__":
    main()
