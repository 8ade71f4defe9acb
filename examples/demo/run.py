"""One engine's run of the example workflow: a user's script, started as a user starts it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from iri_local_facility import LocalFacility


class Program(Protocol):
    """Something that runs the workflow: asked now and then whether it is through."""

    def poll(self) -> int | None:
        """0 if it came through, another number if not, None while it runs."""
        ...


@dataclass
class Run:
    """What the demo shows of one engine.

    Attributes:
        engine: Its name.
        start: Begins the work.
        output: Directory for the picture and the engine's log.
    """

    engine: str
    start: Callable[[], Program]
    output: Path
    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    seconds: float = 0.0
    exit_code: int | None = None

    @property
    def log(self) -> Path:
        """Everything that the engine said."""
        return self.output / "log.txt"

    @property
    def picture(self) -> Path:
        """What the scientist looks at."""
        return self.output / "picture.png"

    @property
    def volume(self) -> Path:
        """The reconstruction as downloaded."""
        return self.output / "volume.npz"

    def go(self, facility: LocalFacility, seen: Callable[[Run], None]) -> None:
        """Run to the end, telling ``seen`` of every change; counts what the facility saw from here on."""
        self.output.mkdir(parents=True, exist_ok=True)
        facility.reset_requests()
        before = len(facility.jobs())
        begun = time.monotonic()
        program = self.start()
        while self.exit_code is None:
            time.sleep(0.3)
            self.exit_code = program.poll()
            jobs = facility.jobs()[before:]
            self.jobs = len(jobs)
            self.states = Counter(job["state"] for job in jobs)
            self.requests = len(facility.requests())
            self.seconds = time.monotonic() - begun
            seen(self)
