"""Following a text that grows: which bytes a piece of it stands for, when to look, when it is all there."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import Enum, auto

from iri_common.model.state import JobState
from iri_common.policy.pace import Pace

BAD = "\ufffd"  # stands for one to three bytes that are no character, or for itself, which is three

SEAM = 32  # characters by which the end of what was read is known again

GRACE = 2.0  # seconds after the end of a job in which what it wrote last may arrive
LATEST = 30.0  # ... and in which what keeps coming is waited for
LONG_AGO = 60.0  # seconds after its end, by two clocks that may differ, nothing arrives any more
CALMING = 0.25  # of the time since a stream grew passes before the next look

# Requests that a look costs (size and text, each begun and then asked for), and how many of them a second
# all followed streams of a door may make: a quarter of what its budget has for everybody.
LOOK_COSTS = 4
PER_SECOND = 5.0

WRITING_NOTHING = frozenset({JobState.NEW, JobState.QUEUED, JobState.HELD})


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole characters of a text.

    Attributes:
        text: What they are.
        size: How many bytes of the file they are.
        held: How many bytes were seen after them that may be the beginning of another character.
    """

    text: str
    size: int
    held: int = 0


class Doubt(Enum):
    """Why a decoded text does not tell its bytes."""

    CUT = auto()  # how many bytes its last U+FFFD stands for: see `cut_of`
    SHORT = auto()  # it cannot be as many bytes as were asked for
    LONG = auto()  # nor so few


def decoded(content: bytes, *, last: bool) -> Piece:
    """The whole characters of exact bytes; with ``last`` nothing is held back."""
    text, size = codecs.utf_8_decode(content, "replace", last)
    return Piece(text, size, len(content) - size)


def measured(text: str, size: int, *, last: bool) -> Piece | Doubt:
    """The whole characters of a text that a facility decoded, with replacement, from ``size`` bytes.

    A character that the end of the window cuts arrives as one U+FFFD. It is held back, and read again from
    its first byte; so is any other U+FFFD at the end, for it may be one.

    Args:
        text: As the facility gave it. It begins with a character, because the window did.
        size: Bytes of the window.
        last: Nothing comes after it: nothing is held back.
    """
    bad = text.count(BAD)
    sure = len(text.encode("utf-8", "surrogatepass")) - len(BAD.encode()) * bad
    if sure + bad > size:
        return Doubt.LONG
    if not bad:
        return Piece(text, sure)
    if size > sure + 3 * bad:
        return Doubt.SHORT
    if last or not text.endswith(BAD):
        return Piece(text, size)
    if bad == 1:
        cut = size - sure
    elif size == sure + bad:
        cut = 1
    else:
        return Doubt.CUT
    return Piece(text[:-1], size - cut, cut)


def cut_of(three: str, two: str | None = None) -> int | None:
    """How many bytes the U+FFFD at the end of a window stands for.

    Args:
        three: The last three bytes of the window, decoded by themselves.
        two: The last two; None before they are known.

    Returns:
        None if it takes the last two bytes to tell.
    """
    # A byte that begins a character does so wherever the window begins: UTF-8 finds its way by itself.
    if len(three) == 1:
        return 3
    if len(three) == 2 and not three.startswith(BAD):
        return 3 - len(three[0].encode())
    if len(three) == 2 and two is None:
        return None
    return 2 if len(three) == 2 and two is not None and len(two) == 1 else 1


def rest_of(text: str, size: int, skipped: int) -> str | None:
    """What follows the first ``skipped`` bytes of a text; None if its bytes are not known one by one."""
    content = text.encode("utf-8", "surrogatepass")
    if len(content) != size or BAD in text:
        return None
    return decoded(content[skipped:], last=True).text


def told_after(text: str, size: int, offset: int) -> str:
    """What the last words of a file of so many bytes tell of what comes after an offset.

    All of them where that offset is before them, or behind the end: then the file began anew.
    """
    content = len(text.encode("utf-8", "surrogatepass"))
    skipped = offset - (size - content)
    if skipped <= 0 or offset > size:
        return text
    rest = rest_of(text, content, skipped)
    return text if rest is None else rest


def seam_of(text: str) -> Piece:
    """The last words of a text, by which it is known again, as far as their bytes are certain."""
    words = text[-SEAM:].rpartition(BAD)[2]
    return Piece(words, len(words.encode("utf-8", "surrogatepass")))


def look_after(pace: Pace, quiet: float, streams: int) -> float:
    """Seconds between two looks at a stream that last grew ``quiet`` seconds ago, one of so many followed."""
    wish = min(1.0, pace.quickest / Pace().quickest)  # whoever asks for a quick pace means this, too
    crowd = streams * LOOK_COSTS / PER_SECOND * wish
    return max(crowd, pace.quickest, min(pace.slowest, quiet * CALMING))


def all_there(ended: float, grew: float, grace: float) -> float:
    """From when on a look at a stream of an ended job is the last one.

    Args:
        ended: When the job was seen to have ended.
        grew: When the stream was last seen to grow.
        grace: Seconds without growth that are enough.
    """
    return min(max(ended, grew) + grace, ended + max(grace, LATEST))
