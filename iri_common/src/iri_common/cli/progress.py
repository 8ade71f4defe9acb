"""How far a transfer is: a bar on a terminal, a line now and then in a log, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from iri_common.cli.speak import Screen, elapsed, plain, size
from iri_common.model.counts import many

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from iri_common.model.transfer import Progress

SECONDS_BETWEEN = 10.0  # at most, between two lines of a log
STEPS = 10  # and at least so many lines, if it moves at all
WIDEST_BAR = 30
NARROWEST_BAR = 8


class ProgressShow:
    """Shows one transfer after the other, always on stderr.

    Args:
        screen: With JSON asked for, its lines are.
        quiet: Nothing is shown.
        clock: Seconds from any fixed moment.
    """

    def __init__(
        self, screen: Screen, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._screen = screen
        self._clock = clock
        self._told_at = clock()
        self._told_step = 0
        self._live: Live | None = None
        if quiet:
            self._show: Callable[[Progress], None] = _nothing
        elif screen.as_json:
            self._show = self._document
        elif screen.err.is_terminal and not screen.err.is_dumb_terminal:
            self._show = self._draw
        else:
            self._show = self._line

    def __call__(self, progress: Progress) -> None:
        """Show how far it is."""
        self._show(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def _draw(self, progress: Progress) -> None:
        from rich.live import Live

        if progress.finished:
            self._take_down()
            return
        drawn = _bar(progress, self._screen.err.width)
        if self._live is None:
            self._live = Live(drawn, console=self._screen.err, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(drawn, refresh=True)

    def _take_down(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, progress: Progress) -> None:
        if self._due(progress):
            self._screen.say(f"{progress.label}: {words_of(progress)}", "dim")

    def _document(self, progress: Progress) -> None:
        if self._due(progress):
            sys.stderr.write(json.dumps({"progress": document_of(progress)}) + "\n")
            sys.stderr.flush()

    def _due(self, progress: Progress) -> bool:
        if progress.finished:  # what came of it is told next
            self._told_step = 0
            return False
        now, step = self._clock(), int(STEPS * (part_of(progress) or 0))
        if now - self._told_at < SECONDS_BETWEEN and step <= self._told_step:
            return False
        self._told_at, self._told_step = now, step
        return True


def _nothing(progress: Progress) -> None:
    """Nobody wants to see it."""


def part_of(progress: Progress) -> float | None:
    """Of 1, how much is done; None while nobody can say."""
    for done, total in (
        (progress.bytes_done, progress.bytes_total),
        (progress.files_done, progress.files_total),
    ):
        if total:
            return min(1.0, done / total)
    return None


def words_of(progress: Progress) -> str:
    """``45 %, 1.2 GiB of 2.7 GiB, 12 of 30 files, 85 MiB/s, 18s left``."""
    part = part_of(progress)
    words = [f"{part:.0%}".replace("%", " %")] if part is not None else []
    total = f" of {size(progress.bytes_total)}" if progress.bytes_total is not None else ""
    words.append(f"{size(progress.bytes_done)}{total}")
    if progress.files_total != 1:
        total = f" of {progress.files_total}" if progress.files_total is not None else ""
        words.append(many(f"{progress.files_done}{total}", "file"))
    words += _speed(progress)
    return ", ".join(words)


def document_of(progress: Progress) -> dict[str, Any]:
    """For a program."""
    return {
        "label": progress.label,
        "road": str(progress.road),
        "bytes_done": progress.bytes_done,
        "bytes_total": progress.bytes_total,
        "files_done": progress.files_done,
        "files_total": progress.files_total,
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
        "current": progress.current,
    }


def _speed(progress: Progress) -> list[str]:
    words = [f"{size(progress.rate)}/s"] if progress.rate else []
    if progress.seconds_left:
        words.append(f"{elapsed(progress.seconds_left)} left")
    return words


def _bar(progress: Progress, width: int) -> RenderableType:
    """One line: the numbers are kept, the bar takes what is left of it, a name what is left then."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    numbers = words_of(progress)
    spare = width - len(numbers) - 2
    bar = max(NARROWEST_BAR, min(WIDEST_BAR, spare - 2))
    name = plain(progress.current or progress.label)
    room = spare - bar - 2
    line = Table.grid(padding=(0, 1))
    cells: list[RenderableType] = []
    part = part_of(progress)
    if spare >= NARROWEST_BAR + 2:
        line.add_column(width=bar)
        cells.append(ProgressBar(total=1.0, completed=part or 0.0, width=bar, pulse=part is None))
    line.add_column(no_wrap=True, overflow="ellipsis")
    cells.append(Text(numbers))
    if room >= NARROWEST_BAR:
        line.add_column(no_wrap=True, overflow="ellipsis", max_width=room)
        cells.append(Text(_end_of(name, room), "dim"))
    line.add_row(*cells)
    return line


def _end_of(name: str, room: int) -> str:
    """The end of a path says more than its beginning."""
    name = name.replace("\n", " ").replace("\t", " ")
    return name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"
