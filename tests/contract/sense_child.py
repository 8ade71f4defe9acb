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
# Before a step is after the one before it.
STEPS = [
    "after find",
    "after new",
    "after write intent",
    "after compute",
    "after write sent",
    "after provision",
    "after status",
    "after write accepted",
]


def die_at(step: str) -> None:
    """From now on this process ends at that step."""
    send, write = HttpxTransport.send, FileLedger._write

    def after(name: str) -> None:
        if f"after {name}" == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def sent(self, request):
        reply = await send(self, request)
        line = f"{request.method} {request.url}"
        after(next((name for pattern, name in REQUESTS.items() if re.match(pattern, line)), "other"))
        return reply

    def written(self, record, owner):
        done = write(self, record, owner)
        after(f"write {record.stage}")
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
