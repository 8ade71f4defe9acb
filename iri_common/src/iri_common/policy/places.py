"""Where things are kept on this machine, by the rules of the XDG base directories; pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Literal

Kind = Literal["config", "state", "cache"]

_DEFAULTS: Mapping[Kind, str] = {"config": "~/.config", "state": "~/.local/state", "cache": "~/.cache"}


def place(environment: Mapping[str, str], kind: Kind, *names: str) -> str:
    """The path of something of ours; it may begin with ``~``.

    A variable with a relative path is ignored, as those rules want it: what is kept would be another thing in
    every working directory.

    Args:
        environment: Of the process.
        kind: What may be edited, what must outlive the process, or what may be lost.
        names: Below our own directory.
    """
    base = environment.get(f"XDG_{kind.upper()}_HOME", "")
    return posixpath.join(base if base.startswith(("/", "~")) else _DEFAULTS[kind], "iri", *names)
