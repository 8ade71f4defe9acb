"""Doors of any dialect at several facilities, and what is held against an ask among them afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doors import DOORS

from iri_common import Facilities, Facility, FileLedger, JobKey
from iri_local_facility import LocalFacility

# The oldest Slurm differs in the form of its fields only.
NAMES = [name for name in DOORS if name != "slurm-v38"]
DOUBLE, CANCELED = 211, 214
ASKS = int(os.environ.get("IRI_AMONG", "20"))  # that go through bad weather; read now: no test sees it
SOAK = ASKS >= 1000


@dataclass(frozen=True)
class Among:
    """Some doors, each at a facility of its own.

    Attributes:
        names: Of the doors, in the order in which they are asked.
        places: Of each one its facility.
        folder: For the ledger, and for what jobs leave when they really work.
    """

    names: Sequence[str]
    places: Sequence[LocalFacility]
    folder: Path

    def doors(self, **words: Any) -> list[Facility]:
        """Facility objects for them."""
        told = {"poll_seconds": 0.05, **words}
        pairs = zip(self.names, self.places, strict=False)
        return [DOORS[name].open(place, self.folder, name=name, **told) for name, place in pairs]

    def profiles(self) -> dict[str, str]:
        """The same doors as profiles "door0", "door1" in the environment."""
        pairs = zip(self.names, self.places, strict=False)
        return {
            name.replace("_PLACE_", f"_DOOR{number}_"): value
            for number, (door, place) in enumerate(pairs)
            for name, value in DOORS[door].variables(place, self.folder).items()
        }

    def facilities(self, ledger: str = "ledger", **words: Any) -> Facilities:
        """All of them for one ask."""
        return Facilities(*self.doors(**words), ledger=FileLedger(self.folder / ledger))

    def spec(self, key: JobKey) -> dict[str, Any]:
        """A job that leaves a line, which tells at which facility it worked."""
        text = f"pwd -P >> {self.folder / key.digest}"
        return {"executable": "/bin/sh", "arguments": ["-c", text], "name": "among"}

    def worked(self, key: JobKey) -> list[int]:
        """At which of the doors the key was worked, one for each time that it really was."""
        marks = self.folder / key.digest
        homes = [str(place.home.resolve()) for place in self.places]
        return [homes.index(line) for line in marks.read_text().splitlines()] if marks.exists() else []

    def taken(self, number: int, key: JobKey) -> list[dict[str, Any]]:
        """The jobs of a key that one of the facilities has taken."""
        return [each for each in self.places[number].jobs() if key.names(each["name"])]

    def submit(self, number: int) -> str:
        """What one of the facilities calls a submit."""
        return DOORS[self.names[number]].operations[0]

    def spoil(self, number: int, dice: random.Random) -> None:
        """Have something go wrong at one of the doors."""
        place, submit = self.places[number], self.submit(number)
        what = dice.choice(("lose_reply", "before", "after", "token", "busy", "door"))
        if what == "lose_reply":
            place.order("lose_reply", submit, times=1)
        elif what == "token":
            place.order("refuse_tokens", submit, times=1)
        elif what == "busy":
            place.order("status", submit, status=429, times=1)
        elif what == "door":
            place.order("status", "*", status=503, times=dice.randint(1, 6))
        else:
            status = dice.choice((500, 502, 503, 504))
            place.order("status", submit, status=status, when=what, times=1)
