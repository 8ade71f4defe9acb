"""A secret that a person pastes: not shown, and of any length."""

from __future__ import annotations

import os
import sys
import termios

from iri_common.model.errors import AuthError

_END, _RUBOUT = b"\x04", {b"\x7f", b"\x08"}


def at_a_terminal() -> bool:
    """Whether a person sees what we say and can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def pasted(prompt: str) -> str:
    """What a person types or pastes, up to the end of the line.

    Not by ``getpass``: a terminal that edits lines keeps 4096 bytes of one (macOS: 1024). Tokens are longer.

    Raises:
        AuthError: if nothing is given.
    """
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    after = termios.tcgetattr(terminal)
    after[3] &= ~(termios.ECHO | termios.ICANON)  # Ctrl-C still interrupts
    after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
    typed = bytearray()
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, after)
        print(f"{prompt}: ", end="", file=sys.stderr, flush=True)
        while (letter := os.read(terminal, 1)) not in {b"", b"\n", b"\r", _END}:
            if letter in _RUBOUT:
                del typed[-1:]
            else:
                typed += letter
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        print(file=sys.stderr)
    text = typed.decode(errors="replace").strip()
    if not text:
        raise AuthError("nothing was given; nothing has changed")
    return text
