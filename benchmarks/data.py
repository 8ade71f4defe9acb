"""Data on its way: a large file, many small ones, from facility to facility, and a log that is followed."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from iri_common import GlobusCredential, GlobusSettings, JobKey, Transfers
from iri_local_facility import LocalFacility

from . import ours, parts
from .clients import amscrot_files
from .processes import alone
from .table import Row

MIB = 1024 * 1024
_MOST_MEMORY = 64  # MiB above what the process had before
_AS_CURL = 0.9
_LINE = "step 000017: residual 1.234567e-05, temperature 273.15 K, energy -1.234567e+02 Ha\n"
_DATA = ("upload", "download", "collectionGet", "collectionPut")  # operations that carry bytes of files


# ----------------------------------------------------------------------------------------------- a store


def store_rows(mib: int, turns: int) -> list[Row]:
    """One file over the parts of a plain S3 store, and curl with the same links, turn about."""
    with tempfile.TemporaryDirectory() as folder:
        return _over_a_store(Path(folder), mib, turns)


def _over_a_store(folder: Path, mib: int, turns: int) -> list[Row]:
    large, back = folder / "large", folder / "back"
    _fill(large, mib)
    rows = list[Row]()
    with parts.s3_server(folder) as url:
        for up, here in ((True, large), (False, back)):
            ways = {
                "curl": partial(parts.by_curl, url, here, up=up),
                "ours": partial(parts.moved, url, here, up=up),
            }
            if not up:
                ways["curl, durable"] = partial(parts.by_curl, url, here, up=False, durable=True)
            # Down takes a second, in which a disk or a host that is slow for a moment counts for much.
            taken = _turn_about(turns if up else 2 * turns + 1, ways)
            note = _against_curl(mib, taken, "makes the SHA-256" if up else "is durable")
            if not up:
                durable = mib / _median(taken["curl, durable"], "seconds")
                hashed = alone(partial(parts.moved, url, here, up=False, hashed=True))
                quick, work = mib / hashed["seconds"], hashed["processor"]
                note += f". With an fsync, which is the same promise, curl {durable:.0f} MiB/s"
                note += f". With its SHA-256, ours {quick:.0f} MiB/s and {work:.1f}"
            rows += _store_rows(f"S3, {mib} MiB {'up' if up else 'down'}", taken, note)
    return rows


def _turn_about(
    turns: int, ways: dict[str, Callable[[], dict[str, float]]]
) -> dict[str, list[dict[str, float]]]:
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(turns):
        first = turn % len(names)  # whoever goes before leaves traces in caches and on the disk
        for name in names[first:] + names[:first]:
            taken[name].append(alone(ways[name]))
    return taken


def _median(some: list[dict[str, float]], what: str) -> float:
    return statistics.median(each[what] for each in some)


def _against_curl(mib: int, taken: dict[str, list[dict[str, float]]], more: str) -> str:
    seconds, curl = (_median(taken[who], "seconds") for who in ("ours", "curl"))
    spent, by_curl = (_median(taken[who], "processor") for who in ("ours", "curl"))
    return (
        "Medians of ours and of curl over the same signed links at moto's server, turn about; ours "
        f"{more}. MiB/s: {mib / seconds:.0f}, curl {mib / curl:.0f}. "
        "Seconds of the processor, which tell more on a busy machine: "
        f"{spent:.1f}, curl {by_curl:.1f}"
    )


def _store_rows(what: str, taken: dict[str, list[dict[str, float]]], note: str) -> list[Row]:
    share = _median(taken["curl"], "seconds") / _median(taken["ours"], "seconds")
    memory = max(each["mib"] for each in taken["ours"])
    return [
        Row(
            f"{what}: as quick as curl, share",
            "data: a store",
            {ours.NAME: share},
            f">= {_AS_CURL}",
            share >= _AS_CURL,
            note,
            details=taken,
        ),
        Row(
            f"{what}: MiB of memory more",
            "data: a store",
            {ours.NAME: memory},
            f"< {_MOST_MEMORY}",
            memory < _MOST_MEMORY,
        ),
    ]


# --------------------------------------------------------------------------------------- a facility's API


def api_rows(mib: int, files: int, most_seconds: tuple[float, float]) -> list[Row]:
    """Through the calls of a facility's API, which take 5 MiB each."""
    with tempfile.TemporaryDirectory() as folder:
        return _over_an_api(Path(folder), mib, files, most_seconds)


def _over_an_api(folder: Path, mib: int, files: int, most_seconds: tuple[float, float]) -> list[Row]:
    _fill(folder / "large", mib)
    (folder / "tree").mkdir()
    for number in range(files):
        (folder / "tree" / f"frame-{number:06d}").write_bytes(os.urandom(10 * 1024))
    _fill(folder / "small", 4)
    with LocalFacility() as place:
        there = str(place.scratch)
        large = _put(place, folder / "large", f"{there}/large", road="chunks", allow_job=True)
        tree = _put(place, folder / "tree", f"{there}/tree")
        packed = _get(place, f"{there}/tree", folder / "back", allow_job=True)
        small = {ours.NAME: _put(place, folder / "small", f"{there}/small")}
        resources = ours.open_facility(place.url, place.token).status.resources()
        machine = next(each.id for each in resources if each.offers("filesystem") and each.offers("compute"))
        words = (place.url, place.token, machine, folder / "small", f"{there}/by-amscrot")
        small["amscrot-py"] = _requests(place, _by_amscrot, *words)
        assert Path(words[-1]).stat().st_size == 4 * MIB
    chunks_note = (
        f"Parts of 4 MiB, four at once, joined by a job of the facility: {large['requests']} requests"
    )
    tree_note = (
        f"Over the road {tree['road']}, {tree['requests']} requests: no more than 20 a second are made"
    )
    packed_note = f"As one archive that a job packs and cuts: {packed['requests']} requests"
    alone_note = (
        "Ours is written aside, compared by SHA-256 and renamed: half a file is never seen. "
        "amscrot-py sends the file under its name; its limit is 5 MB"
    )
    return [
        _timed(f"API, {mib} MiB up in parts, s", large, most_seconds[0], chunks_note),
        _memory(f"API, {mib} MiB up in parts: MiB of memory more", large),
        _timed(f"API, {files:,} files of 10 KiB up, s", tree, most_seconds[1], tree_note),
        _memory(f"API, {files:,} files of 10 KiB up: MiB of memory more", tree),
        _timed(f"API, {files:,} files of 10 KiB down, s", packed, most_seconds[1], packed_note),
        _memory(f"API, {files:,} files of 10 KiB down: MiB of memory more", packed),
        Row("API, 4 MiB up, s", "data: an API", _each(small, "seconds"), note=alone_note, details=small),
        Row("API, 4 MiB up, requests", "data: an API", _each(small, "requests"), note=alone_note),
    ]


def _timed(what: str, measured: dict[str, Any], most: float, note: str) -> Row:
    seconds = measured["seconds"]
    return Row(
        what, "data: an API", {ours.NAME: seconds}, f"<= {most:.0f}", seconds <= most, note, details=measured
    )


def _memory(what: str, measured: dict[str, Any]) -> Row:
    mib = measured["mib"]
    return Row(what, "data: an API", {ours.NAME: mib}, f"< {_MOST_MEMORY}", mib < _MOST_MEMORY)


def _each(measured: dict[str, dict[str, Any]], what: str) -> dict[str, float]:
    return {name: each[what] for name, each in measured.items()}


def _put(place: LocalFacility, source: Path, target: str, **words: Any) -> dict[str, Any]:
    return _requests(place, _by_ours, place.url, place.token, str(place.home), source, target, words)


def _get(place: LocalFacility, source: str, target: Path, **words: Any) -> dict[str, Any]:
    return _requests(place, _by_ours, place.url, place.token, str(place.home), source, target, words, False)


def _requests(place: LocalFacility, function: Any, *args: Any) -> dict[str, Any]:
    place.reset_requests()
    measured = alone(function, *args)
    return measured | {"requests": len(place.requests())}


def _by_ours(
    root: str,
    token: str,
    home: str,
    source: str | Path,
    target: str | Path,
    words: dict[str, Any],
    up: bool = True,
) -> dict[str, Any]:
    facility = ours.open_facility(root, token, directory=home)
    facility.files.ls(home)  # all modules are loaded
    with parts.peak() as memory:
        result = (facility.files.put if up else facility.files.get)(source, target, **words)
    return {"seconds": result.seconds, "road": str(result.road), "files": result.files, "mib": memory[0]}


def _by_amscrot(root: str, token: str, file_system: str, source: Path, target: str) -> dict[str, Any]:
    files = amscrot_files(root, token, file_system)
    begun = time.monotonic()
    files.upload(str(source), target).wait().result  # noqa: B018 - raises what went wrong
    return {"seconds": time.monotonic() - begun}


# ------------------------------------------------------------------------------- facility to facility


def between_rows(mib: int) -> list[Row]:
    """From one facility to another, over Globus."""
    with LocalFacility(name="one") as one, LocalFacility(name="two", globus=one) as two:
        _fill(one.scratch / "large", mib)
        os.environ.update(one.globus_env)
        client = (one.globus_client_id, one.globus_client_secret)
        doors = [(each.url, each.token, str(each.scratch / "large")) for each in (one, two)]
        measured = alone(_over_globus, client, doors)
        assert (two.scratch / "large").stat().st_size == mib * MIB
        seen = [*one.requests(), *two.requests()]
        through = sum(each["bytes_in"] + each["bytes_out"] for each in seen if each["operation"] in _DATA)
        asked = sum(each["bytes_in"] + each["bytes_out"] for each in seen)
    note = (
        f"{mib} MiB in {measured['seconds']:.1f} s over Globus Transfer, as the logs of both facilities have "
        f"it: {len(seen)} requests, {asked / 1000:.0f} kB in all"
    )
    what = "bytes of files through the client, facility to facility"
    return [Row(what, "data: between", {ours.NAME: through}, "0", through == 0, note, details=measured)]


def _over_globus(client: tuple[str, str], doors: list[tuple[str, str, str]]) -> dict[str, Any]:
    name, secret = client
    globus = GlobusSettings(credential=GlobusCredential(name, lambda: secret))
    ends = [ours.open_facility(url, token, globus=globus).files.at(path) for url, token, path in doors]
    result = Transfers().copy(*ends, road="globus")
    return {"seconds": result.seconds, "bytes": result.bytes, "task": result.task_id}


# ----------------------------------------------------------------------------------------------- a log


def log_rows(mib: int, seconds: int) -> list[Row]:
    """A job's output, followed while it grows."""
    with LocalFacility() as place:
        measured = alone(_followed, place.url, place.token, str(place.home), mib, seconds)
        seen = place.requests()
    share = sum(each["bytes_out"] for each in seen) / measured["bytes"]
    note = (
        f"{mib} MiB that come within {seconds} s; its end was told {measured['late']:.1f} s after the job's. "
        f"Counted are all bodies of {len(seen)} replies, JSON and looks at the job included"
    )
    what = "bytes read of a followed log, share of its bytes"
    return [Row(what, "data: a log", {ours.NAME: share}, "<= 1.1", share <= 1.1, note, details=measured)]


def _followed(root: str, token: str, home: str, mib: int, seconds: int) -> dict[str, Any]:
    facility = ours.open_facility(root, token, directory=home)
    lines = mib * MIB // seconds // 10 // len(_LINE)
    script = (
        f"i=0; while [ $i -lt {seconds * 10} ]; do yes '{_LINE.strip()}' | head -n {lines}; i=$((i + 1)); "
        "sleep 0.1; done; date +%s.%N >&2"
    )
    spec = {"executable": "/bin/sh", "arguments": ["-c", script]}
    ref = facility.jobs.submit(spec, key=JobKey.of("bench", "log"))
    streams = {"stdout": "", "stderr": ""}
    count = 0
    for chunk in facility.jobs.follow(ref):
        count += len(chunk.text.encode())
        if chunk.stream == "stderr":
            streams["stderr"] += chunk.text
        last = time.time()
    return {
        "bytes": count,
        "late": last - float(streams["stderr"]),
        "expected": lines * 10 * seconds * len(_LINE),
    }


def _fill(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
