"""Ends that are real: a facility with its collection, a store that speaks S3; and what moves between them."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

import pytest
import transfer_client
from asking_client import Strike
from real_clients import Client, Clients
from s3_server import BUCKET, KEYS, Store, s3_server
from transfer_client import PART, TransferPlan

from iri_local_facility import LocalFacility

ENDS = ("done", "error", "interrupted", "broke")


@dataclass(frozen=True)
class Ends:
    """Where files come from and go to, and who moves them."""

    place: LocalFacility
    store: Store
    clients: Clients

    def plan(self, road: str, source: str, target: str, state: Path, **words: Any) -> TransferPlan:
        """A try over a road, said as ``chunks up``."""
        kind, direction = road.split()[:2]
        place = self.place
        return TransferPlan(
            self.clients.new_story(),
            str(state),
            place.base_url,
            place.token,
            kind,
            direction == "up",
            source,
            target,
            jobs=str(place.home),
            environment={**place.globus_env, **KEYS},
            globus=(place.globus_client_id, place.globus_client_secret),
            **words,
        )


@contextlib.contextmanager
def open_ends(folder: Path) -> Iterator[Ends]:
    """Start everything; none of it is left behind."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Clients(folder / "stories", transfer_client.__file__) as clients,
    ):
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", "1")  # parts as small as those of the other roads
        with s3_server(folder) as store:
            bucket = (store.url, BUCKET, KEYS["AWS_DEFAULT_REGION"])
            with LocalFacility(nodes=16, kill_grace=0.2, s3=bucket) as place:
                yield Ends(place, store, clients)


@dataclass
class Parcel:
    """A file or a tree on its way, and what may be seen of it.

    Attributes:
        ends: Between which.
        road: Which, and in which direction.
        files: What they hold by their names; a single file has the name "".
        before: What lay at every target before; None for nothing.
        folder: Of its own, on this machine.
        there: Of its own, at the facility.
        parallel: Parts or files at once.
        name: Of the file or the tree, at both ends.
        tries: The clients that carried it, in order.
        again: What had arrived whole and was moved again all the same, of each try.
    """

    ends: Ends
    road: str
    files: dict[str, bytes] = field(repr=False)
    before: bytes | None
    folder: Path
    there: Path
    parallel: int = 3
    name: str = "run 7"
    tries: list[Client] = field(default_factory=list)
    again: list[set[str]] = field(default_factory=list)
    _arrived: set[str] = field(default_factory=set)
    _seen: int = 0

    @property
    def up(self) -> bool:
        return self.road.split()[1] == "up"

    @property
    def stored(self) -> bool:
        """Whether the far end is an object."""
        return self.road.startswith("parts")

    @property
    def here(self) -> Path:
        return self.folder / "here" / self.name

    @property
    def far(self) -> Path:
        return self.there / self.name

    @property
    def key(self) -> str:
        return f"{self.there.name}/{self.name}"

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))

    def at(self, name: str, *, source: bool = False) -> Path:
        """Where a file is, or will be."""
        root = self.here if self.up == source else self.far
        return root / name if name else root

    def lay(self) -> None:
        """Put everything where it is at first."""
        self.here.parent.mkdir(parents=True)
        self.there.mkdir(parents=True)
        for name, content in self.files.items():
            for path, held in ((self.at(name, source=True), content), (self.at(name), self.before)):
                if held is None:
                    continue
                if self.stored and path == self.far:
                    self.store(held)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(held)

    def store(self, content: bytes) -> None:
        """Make an object of it."""
        self.ends.store.admin.put_object(Bucket=BUCKET, Key=self.key, Body=content)

    def start(self, strike: Strike | None = None, **words: Any) -> Client:
        """Begin a try."""
        far = f"/{self.key}" if self.stored else str(self.far)
        ends = (str(self.here), far) if self.up else (far, str(self.here))
        plan = self.ends.plan(self.road, *ends, self.folder / "state", parallel=self.parallel, strike=strike)
        self.tries.append(self.ends.clients.start(replace(plan, **words)))
        return self.tries[-1]

    def heard(self) -> bool:
        """Wait for the last try; whether it was killed. What it moved again is remembered."""
        client = self.tries[-1].wait()
        moved = self._moved()
        self.again.append(moved & self._arrived)
        self._arrived |= self._whole(moved)
        return not any(each["what"] in ENDS for each in client.story())

    def target(self, name: str) -> bytes | None:
        """What lies under a final name now."""
        store = self.ends.store
        with contextlib.suppress(FileNotFoundError, store.admin.exceptions.NoSuchKey):
            return store.content(self.key) if self.up and self.stored else self.at(name).read_bytes()
        return None

    def fine(self, name: str, seen: bytes | None) -> bool:
        """Whether that may be seen there while it is on its way."""
        return seen in (self.before, self.files[name])

    def leftovers(self) -> list[str]:
        """What should not be there when it is done."""
        expected = {self.at(name, source=source) for name in self.files for source in (True, False)}
        folders = (self.here.parent, self.there, self.folder / "state" / "iri" / "transfers")
        there = [path for folder in folders for path in folder.rglob("*") if not path.is_dir()]
        left = [str(path) for path in there if path not in expected]
        return left + [each for each in self.ends.store.open_uploads() if each == self.key]

    def whole(self) -> None:
        """Assert that it has arrived, all of it, and nothing beside it."""
        assert self.done, self.story()
        assert {name: self.target(name) for name in self.files} == self.files, self.story()
        assert not self.leftovers(), self.story()

    def untouched(self) -> None:
        """Assert that every target is as it was."""
        assert all(self.target(name) == self.before for name in self.files), self.story()

    @property
    def done(self) -> bool:
        """Whether the last client said so."""
        return bool(self.tries) and self.tries[-1].told("done") is not None

    def story(self) -> str:
        """For whoever must understand what went wrong."""
        told = [f"{each.plan.strike}: {each.story()[-3:]}" for each in self.tries]
        facts = f"{self.road}, {len(self.files)} files, {self.size} bytes, {self.parallel} at once"
        return "\n  ".join([facts, *told, f"again: {self.again}"])

    # -- parts: as they are named in logs, or their places in a file

    def _moved(self) -> set[str]:
        """The parts, or files, that the last try has moved."""
        if self.road.startswith("parts up"):
            seen = [line for line in self.ends.store.requests() if f"/{BUCKET}/{_quoted(self.key)}?" in line]
            seen, self._seen = seen[self._seen :], len(seen)
            return {found[1] for line in seen if (found := re.search(r"PUT .*partNumber=(\d+)", line))}
        if self.up and not self.road.startswith("https"):
            acted = [each for each in self.ends.place.requests("upload") if each["acted"]]
            paths = [parse_qs(each["query"])["path"][0] for each in acted]
            seen = [path for path in paths if path.startswith(f"{self.there}/")]
            seen, self._seen = seen[self._seen :], len(seen)
            return {re.sub(r"\.[0-9a-f]{16}\.part$", "", path) for path in seen}
        asked = [each for each in self.tries[-1].story() if each["what"] == "asked"]
        if self.road.startswith("direct"):
            return {each["path"].replace(str(self.far), str(self.here), 1) for each in asked}
        if "path" in (asked or [{}])[0]:
            found = [re.match(r"(\d{6})-", Path(each["path"]).name) for each in asked]
            return {str(int(each[1])) for each in found if each}
        return {
            str(part)
            for each in asked
            for part in range(-(-each["start"] // PART), (each["end"] or self.size) // PART)
        }

    def _whole(self, moved: set[str]) -> set[str]:
        """Which of them have arrived whole."""
        if self.road.startswith("direct"):
            return {str(self.at(name)) for name, held in self.files.items() if self.target(name) == held}
        if self.up and self.stored and self.key in self.ends.store.open_uploads():
            # A request that was cut off is in the store's log too.
            held = self.ends.store.parts(self.key)
            sizes = {each: min(PART, self.size - (int(each) - 1) * PART) for each in moved}
            return {each for each in moved if held.get(int(each)) == sizes[each]}
        if self.up:
            return moved
        content, asides = self.files[""], [*self.here.parent.glob("*.part")]
        there = (asides[0].read_bytes() if asides else self.target("")) or b""
        parts = range(-(-len(content) // PART))
        return {str(n) for n in parts if content[n * PART :][:PART] == there[n * PART :][:PART]}


def _quoted(key: str) -> str:
    return key.replace(" ", "%20")


class Watch:
    """Looks at the final names of parcels as long as they are on their way, in a thread of its own."""

    def __init__(self, parcels: Iterable[Parcel]) -> None:
        seen = [each for each in parcels if not (each.stored and each.up)]
        self._places = [(each, name, each.at(name)) for each in seen for name in each.files]
        self._known: dict[Path, tuple[int, int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.looks = 0
        self.halves: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _look(self) -> None:
        while not self._over.wait(0.005):
            for place in self._places:
                self._look_at(*place)

    def _look_at(self, parcel: Parcel, name: str, path: Path) -> None:
        self.looks += 1
        try:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                now = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                if self._known.get(path) == now:
                    return
                seen = file.read()
        except FileNotFoundError:
            return
        self._known[path] = now
        if not parcel.fine(name, seen):
            self.halves.append(f"{len(seen)} bytes of {path}: {parcel.road}")
