"""Many mapped jobs in a real Airflow, with one triggerer and with two.

``make bench-airflow`` does the set-up first.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import one
import two
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parents[1] / "results"

Benchmark = Callable[[Path], one.Measured | two.Measured]

# Jobs, and seconds in which they run and nothing happens.
FULL: dict[str, Benchmark] = {
    "one": partial(one.measure, 1_000, 60.0),
    "two": partial(two.measure, 240, 60.0),
}
QUICK: dict[str, Benchmark] = {
    "one": partial(one.measure, 60, 20.0),
    "two": partial(two.measure, 60, 20.0),
}
TITLES = {"one": one.TITLE, "two": two.TITLE}


def main() -> None:
    """Measure, show and save."""
    parser = argparse.ArgumentParser("make bench-airflow", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="60 jobs each, in a few minutes")
    parser.add_argument("--only", choices=list(FULL), help="with one triggerer, or with two, only")
    options = parser.parse_args()
    console = Console(highlight=False)
    output = RESULTS / ("airflow-quick.json" if options.quick else "airflow.json")
    RESULTS.mkdir(exist_ok=True)
    saved: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="iri-bench-", ignore_cleanup_errors=True) as home:
        os.environ |= {"HOME": home, "TMPDIR": home, "DO_NOT_TRACK": "1"}
        tempfile.tempdir = None
        for name, benchmark in (QUICK if options.quick else FULL).items():
            if options.only in {None, name}:
                place = Path(home, name)
                place.mkdir()
                measured = benchmark(place)
                _show(f"{measured.jobs:,} mapped jobs {TITLES[name]}", measured.figures(), console)
                saved[name] = asdict(measured)
                output.write_text(json.dumps(saved, indent=2) + "\n")
    console.print(f"figures and their details in {os.path.relpath(output)}")


def _show(title: str, figures: dict[str, str], console: Console) -> None:
    table = Table("what", "figure", title=title)
    for what, figure in figures.items():
        table.add_row(what, figure)
    console.print(table)


if __name__ == "__main__":
    main()
