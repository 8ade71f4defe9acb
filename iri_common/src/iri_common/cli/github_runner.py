"""How a step of GitHub Actions speaks to its runner: commands in the log, files named by the environment."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

# Colours and cursor movements of a terminal, and what no log can show.
_NOT_TEXT = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[^\n\t\x20-\U0010ffff]|\x7f"
)


def plain(text: str) -> str:
    """The text without what only a terminal understands."""
    return _NOT_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def say(command: str, text: str = "", **properties: str) -> None:
    """Print a workflow command, such as ``::error title=…::text``; nothing in the text can end it."""
    words = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    line = f"::{command}{' ' + words if words else ''}::{_data(text)}"
    print(line, flush=True)  # what others write to the log must come after it


def mask(secret: str) -> None:
    """Have the runner hide a secret in everything that is logged from here on."""
    for line in {secret.strip(), *secret.split()}:
        if line:
            say("add-mask", line)


@contextlib.contextmanager
def group(title: str) -> Generator[None]:
    """A fold of the log in which nothing is taken for a command: what a job writes orders nothing here."""
    say("group", title)
    word = secrets.token_hex(16)
    say("stop-commands", word)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        say(word)
        say("endgroup")


def output(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Set an output of the step; whatever the value holds, it is this one output."""
    end = f"end-{secrets.token_hex(16)}"
    _append(environ.get("GITHUB_OUTPUT"), f"{name}<<{end}\n{value}\n{end}\n")


def summary(markdown: str, environ: Mapping[str, str] = os.environ) -> None:
    """Add to what the run's page shows of the step."""
    _append(environ.get("GITHUB_STEP_SUMMARY"), markdown.rstrip("\n") + "\n\n")


def table(rows: Mapping[str, str]) -> str:
    """Markdown of a table of two columns without a head; empty values are left out."""
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def code(text: str) -> str:
    """Markdown of a short text that shows as it is, also in a cell of a table."""
    safe = " ".join(plain(text).split())
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        safe = safe.replace(letter, entity)
    return f"<code>{safe}</code>"


def fenced(text: str) -> str:
    """Markdown of lines that show as they are: the fence is longer than any in them."""
    safe = plain(text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", safe)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{safe}\n{fence}"


def _append(path: str | None, text: str) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
