"""Runs the benchmarks; ``make bench`` does the set-up first.

Everything listens on loopback, lives in temporary directories and ends with this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from . import cpu, created, data, firecrest, memory, notice, superfacility, tokens, tracked
from .table import Row, save, show

RESULTS = Path(__file__).parent / "results"

Benchmark = Callable[[], list[Row]]
QUICK: dict[str, Benchmark] = {
    "tracked": lambda: tracked.rows(jobs=25, longest=4.0),
    "created": lambda: created.rows(created.QUICK),
    "cpu": lambda: cpu.rows((100, 1_000), seconds=2.0, looks=1_000),
    "notice": lambda: notice.rows(short=500, long=200, many=1_500),
    "tokens": tokens.rows,
    "memory": lambda: memory.rows(2_000),
    "store": lambda: data.store_rows(256, turns=1),
    "api": lambda: data.api_rows(40, 1_000, (4, 15)),
    "between": lambda: data.between_rows(64),
    "log": lambda: data.log_rows(5, seconds=3),
    "firecrest": lambda: firecrest.rows(jobs=20, seconds=3.0, longest=6.0, faults=3, mib=0),
    "superfacility": lambda: superfacility.rows(jobs=20, seconds=3.0, longest=6.0, faults=3),
}
FULL: dict[str, Benchmark] = {
    "tracked": lambda: tracked.rows(jobs=100, longest=60.0),
    "created": lambda: created.rows(tuple(created.FAULTS)),
    "cpu": lambda: cpu.rows((100, 1_000, 10_000), seconds=6.0, looks=4_000),
    "notice": lambda: notice.rows(short=2_000, long=1_000, many=10_000),
    "tokens": tokens.rows,
    "memory": lambda: memory.rows(10_000),
    "store": lambda: data.store_rows(1_024, turns=5),
    "api": lambda: data.api_rows(200, 10_000, (8, 60)),
    "between": lambda: data.between_rows(512),
    "log": lambda: data.log_rows(20, seconds=10),
    "firecrest": lambda: firecrest.rows(jobs=50, seconds=5.0, longest=30.0, faults=15, mib=200),
    "superfacility": lambda: superfacility.rows(jobs=50, seconds=5.0, longest=30.0, faults=15),
}


def main() -> int:
    """Run what was asked for; the exit code says whether all of it could be measured."""
    parser = argparse.ArgumentParser("make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter, in less than a minute")
    parser.add_argument("--only", nargs="+", choices=list(FULL), help="these benchmarks only")
    parser.add_argument("--output", type=Path, help="where to write the JSON file")
    options = parser.parse_args()
    output = options.output or RESULTS / ("quick.json" if options.quick else "full.json")
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150  # a log has no edge
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="iri-bench-", ignore_cleanup_errors=True) as home:
        _surroundings(home)
        rows, failed = _run(QUICK if options.quick else FULL, options.only, console)
    seconds = time.monotonic() - begun
    show(rows, console)
    save(rows, output, quick=options.quick, seconds=seconds)
    judged = [row.met for row in rows if row.met is not None]
    console.print(
        f"{sum(judged)} of {len(judged)} targets met; {seconds:.0f} s in all; "
        f"figures and their details in {os.path.relpath(output)}"
    )
    if failed:
        console.print(f"[red]could not be measured: {', '.join(failed)}[/]")
    return 1 if failed else 0


def _run(
    benchmarks: dict[str, Benchmark], only: list[str] | None, console: Console
) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    failed: list[str] = []
    for name, benchmark in benchmarks.items():
        if only and name not in only:
            continue
        begun = time.monotonic()
        with console.status(f"measuring: {name}"):
            try:
                rows += benchmark()
            except Exception:  # the others can be measured all the same
                traceback.print_exc()
                failed.append(name)
        console.print(f"[dim]{name}: {time.monotonic() - begun:.0f} s[/]")
    return rows, failed


def _surroundings(home: str) -> None:
    """Nobody's configuration, no proxy, and every file in a directory that goes away; children inherit it."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("IRI_", "AMSC_", "XDG_")):
            del os.environ[name]
    os.environ |= {"HOME": home, "TMPDIR": home, "DO_NOT_TRACK": "1"}
    tempfile.tempdir = None


if __name__ == "__main__":
    sys.exit(main())
