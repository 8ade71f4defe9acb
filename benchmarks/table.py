"""Rows of the result, the table that a person reads, and the file that a program reads."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from . import ours
from .clients import PEERS

_WIDE = 130  # columns that the whole table needs
_DISTRIBUTIONS = (
    "iri-common",
    "amscrot-py",
    "nersc-iri",
    "iri-client",
    "pyfirecrest",
    "sfapi-client",
    "httpx",
)


@dataclass(frozen=True)
class Row:
    """One thing that was measured, of everyone it could be measured of.

    Attributes:
        what: What, with its unit.
        group: The benchmark it belongs to.
        values: By client; one who cannot do it is not in it, and the note says why.
        target: What ours has to reach, in words; "" for a figure that is only told.
        met: Whether it does.
        note: What one must know to read the figures.
        more_is_better: The ratio is turned round.
        details: Everything else, for the file.
    """

    what: str
    group: str
    values: Mapping[str, float]
    target: str = ""
    met: bool | None = None
    note: str = ""
    more_is_better: bool = False
    details: Any = field(default=None, repr=False)

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the best peer; None without a peer."""
        mine = self.values.get(ours.NAME)
        others = [value for name, value in self.values.items() if name != ours.NAME]
        if mine is None or not others:
            return None
        best = max(others) if self.more_is_better else min(others)
        above, below = (mine, best) if self.more_is_better else (best, mine)
        return above / below if below else (math.inf if above else 1.0)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def show(rows: Sequence[Row], console: Console) -> None:
    """The table, its notes below it."""
    wide = console.width >= _WIDE
    title = "Ours and its peers, in one run on this machine"
    table = Table(title=title, title_justify="left", box=HEAVY_HEAD if wide else SIMPLE_HEAD)
    table.add_column("what", max_width=44)
    for name in (ours.NAME, *PEERS):
        head = name if wide else name.replace("-", "\n-")
        table.add_column(head, justify="right", style="bold" if name == ours.NAME else "", no_wrap=True)
    table.add_column("best peer\n: ours" if wide else "best\n: ours", justify="right", no_wrap=True)
    if wide:
        table.add_column("target", max_width=22)
    table.add_column("met", justify="center", no_wrap=True)
    notes: list[str] = []
    group = None
    for row in rows:
        if group not in (None, row.group):
            table.add_section()
        group = row.group
        if row.note and row.note not in notes:
            notes.append(row.note)
        mark = f" [dim]\\[{notes.index(row.note) + 1}][/]" if row.note else ""
        cells = [figure(row.values.get(name)) for name in (ours.NAME, *PEERS)]
        target = [row.target] if wide else []
        table.add_row(row.what + mark, *cells, times(row.ratio), *target, _met(row.met))
    console.print(table)
    for number, note in enumerate(notes, 1):
        console.print(f"[dim]\\[{number}] {note}[/]")


def figure(value: float | None) -> str:
    """Three digits that mean something; a dash for what could not be measured."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    """The ratio, as people say it."""
    if ratio is None:
        return ""
    return "∞" if math.isinf(ratio) else f"{figure(round(ratio, 1 if ratio >= 1 else 2))} x"


def _met(met: bool | None) -> str:
    return {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[met]


def save(rows: Sequence[Row], path: Path, *, quick: bool, seconds: float) -> None:
    """Everything, as JSON."""
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "seconds": round(seconds, 1),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        },
        "versions": {name: version(name) for name in _DISTRIBUTIONS},
        "rows": [_plain(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _plain(row: Row) -> dict[str, Any]:
    peers = {name: value for name, value in row.values.items() if name != ours.NAME}
    ratio = row.ratio
    return {
        "group": row.group,
        "what": row.what,
        "ours": row.values.get(ours.NAME),
        "peers": peers,
        "ratio": None if ratio is None or math.isinf(ratio) else round(ratio, 2),
        "target": row.target,
        "met": row.met,
        "note": row.note,
        "details": row.details,
    }
