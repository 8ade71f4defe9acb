"""What the command says: results on stdout, words on stderr; with ``--json`` one document on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from iri_common.model.counts import many

if TYPE_CHECKING:
    from rich.console import Console

STATE_STYLES = {
    "new": "cyan",
    "queued": "cyan",
    "held": "yellow",
    "active": "blue",
    "completed": "green",
    "failed": "red",
    "canceled": "magenta",
    "unknown": "yellow",
    "missing": "yellow",
    # ... and what came of an act, in the audit log.
    "asked": "cyan",
    "done": "green",
    "again": "green",
    "refused": "red",
    "uncertain": "yellow",
    "denied": "magenta",
    "pending": "cyan",
    "scheduled": "cyan",
    "up": "green",
    "ending": "magenta",
    "ended": "magenta",
    "expired": "red",
    "inactive": "yellow",
    "succeeded": "green",
}
WIDTH_OF_A_PIPE = 200  # columns: what reads a pipe wants lines whole


class Screen:
    """The two streams of the command.

    Args:
        as_json: Results are documents for programs.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._begun = time.monotonic()

    @cached_property
    def out(self) -> Console:
        """Where results for people go."""
        return _console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Where words go."""
        return _console(stderr=True)

    def say(self, words: str, style: str = "") -> None:
        """Words for people beside the result."""
        wrapped = self.err.is_terminal
        self.err.print(
            plain(words), style=style or None, markup=False, highlight=False, soft_wrap=not wrapped
        )

    def complain(self, words: str) -> None:
        """An error."""
        from rich.text import Text

        line = Text.assemble(("iri: ", "bold red"), plain(words))
        self.err.print(line, soft_wrap=not self.err.is_terminal)

    def copyable(self, line: str) -> None:
        """A line to copy into a shell: never broken."""
        self.err.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

    def change(self, state: str, detail: str) -> None:
        """A job's new state, with the time since the command began."""
        from rich.text import Text

        line = Text.assemble(
            (f"{elapsed(time.monotonic() - self._begun):>8}  ", "dim"),
            (state, STATE_STYLES.get(state, "")),
            (plain(detail.removeprefix(state)), ""),
        )
        self.err.print(line, soft_wrap=True)

    def result(self, text: str) -> None:
        """The bare result, as it is: a reference, a job's output."""
        sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
        sys.stdout.flush()

    def words_of_job(self, text: str) -> None:
        """What the job wrote to its standard error, as it is."""
        sys.stdout.flush()
        sys.stderr.write(text if text.endswith("\n") or not text else f"{text}\n")
        sys.stderr.flush()

    def document(self, content: Mapping[str, Any] | Sequence[Any]) -> None:
        """The result for a program."""
        sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
        sys.stdout.flush()

    def heading(self, words: str) -> None:
        """The title of a part."""
        self.out.print(words, style="bold", markup=False)

    def entry(self, name: str, head: str, details: Iterable[str], style: str = "") -> None:
        """A name with what belongs to it: a line, and lines below it."""
        from rich.padding import Padding
        from rich.text import Text

        self.out.print(Text.assemble((f"{name:<12} ", "bold"), (head, style)), soft_wrap=True)
        for detail in details:
            self.out.print(Padding(Text(detail, "dim"), (0, 0, 0, 13)))

    def facts(self, named: Iterable[tuple[str, str]]) -> None:
        """Names and values, one under the other."""
        for name, value in named:
            self.out.print(f"  {name:<10} {value}", markup=False, soft_wrap=True)
        self.out.print()

    def code(self, text: str, language: str = "") -> None:
        """A piece of text in a language; as it is where nobody looks, so that it can be copied."""
        if not language or not self.out.is_terminal or self.out.no_color:
            self.result(f"{text.rstrip()}\n\n")
            return
        from rich.syntax import Syntax

        # The terminal's own colours: they can be read on whatever background it has.
        self.out.print(Syntax(text.rstrip(), language, theme="ansi_dark", word_wrap=True))
        self.out.print()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        states: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> None:
        """A plain table.

        Args:
            columns: Their names.
            rows: The cells.
            states: Columns whose cells are coloured by their word.
            whole: Columns whose cells are copied, and so never broken.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD if self.out.is_terminal else None, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", header_style="bold", no_wrap=column in whole)
        for row in rows:
            table.add_row(
                *(
                    Text(cell, style=STATE_STYLES.get(cell.split(" ")[0], "") if name in states else "")
                    for name, cell in zip(columns, row, strict=True)
                )
            )
        if self.out.is_terminal:
            self.out.print(table)
            return
        with self.out.capture() as drawn:  # nobody looks: no blanks at the ends of lines
            self.out.print(table)
        self.result("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_PIPE
    console = Console(stderr=stderr, width=width, highlight=False, emoji=False)
    console.on_broken_pipe = _reraise  # rich would end the process by itself
    return console


def _reraise() -> None:
    raise  # noqa: PLE0704 - it is called where the error is handled


def plain(words: str) -> str:
    """Words from elsewhere, without what would steer a terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in words)


def elapsed(seconds: float) -> str:
    """``7s``, ``2m 05s``, ``1h 02m``, ``3d 04h``."""
    whole = max(0, int(seconds))
    for size, word, small, small_word in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{word} {whole % size // small:02d}{small_word}"
    return f"{whole}s"


def size(count: float) -> str:
    """Bytes for a person: ``5 MiB``."""
    if abs(count) < 1024:
        return many(f"{count:.0f}", "byte")
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if abs(count) < 1024:
            return f"{count:.4g} {unit}"
    count /= 1024
    return f"{count:,.4g} TiB"
