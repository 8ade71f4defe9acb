"""What a person sees of the demo: one line an engine while it runs, one table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from run import Run

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Screen:
    """A table that changes in place on a terminal, and lines elsewhere."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.console = Console(highlight=False)
        self._runs = runs
        self._said: dict[str, str] = {}
        self._live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text)

    def seen(self, run: Run) -> None:
        """Something may have changed in a run."""
        if self.console.is_terminal:
            self._live.update(self.table(), refresh=True)
            return
        line = f"{run.engine}: {_states(run)}"
        if run.jobs and self._said.get(run.engine) != line:
            self._said[run.engine] = line
            self.console.print(f"  {line} after {run.seconds:.0f} s")

    def table(self) -> Table:
        """Engine, jobs, states, time, requests that the facility saw."""
        table = Table(title="One workflow, three engines, one facility", title_justify="left")
        table.add_column("engine")
        table.add_column("jobs", justify="right")
        table.add_column("states")
        table.add_column("time", justify="right")
        table.add_column("requests the facility saw", justify="right")
        for run in self._runs:
            begun = run.seconds > 0
            busy = begun and run.exit_code is None
            mark = SPINNER[int(run.seconds * 5) % len(SPINNER)] if busy else " "
            table.add_row(
                f"{mark} {run.engine}",
                str(run.jobs) if begun else "",
                _states(run) if begun else "waiting",
                f"{run.seconds:.0f} s" if begun else "",
                str(run.requests) if begun else "",
            )
        return table


def _states(run: Run) -> str:
    if not run.jobs:
        return "no job yet"
    return ", ".join(f"{count} {state}" for state, count in sorted(run.states.items()))
