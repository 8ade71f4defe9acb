"""How a person logs in to a facility, concluded from the words of its profile; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

WRITABLE = frozenset({"file", "keyring"})  # places where a login can put a secret
_NAMES = {  # in the order in which a profile's words decide
    "token": "token",
    "refresh": "refresh token",
    "key": "key",
    "exchange": "token that is exchanged",
    "password": "password",
    "secret": "secret",
}


class Way(StrEnum):
    """What a login is."""

    PERSON = "person"  # at the endpoint, in a browser
    PASTE = "paste"  # what a person has in hand is written where the profile points
    LOOK = "look"  # somebody else puts it there: it is only looked at


class Road(StrEnum):
    """How a person comes to the endpoint's page, and what comes back from there."""

    BROWSER = "browser"  # one on this machine, which comes back by itself
    DEVICE = "device"  # one anywhere, with a code to type there
    ADDRESS = "address"  # one anywhere, whose last address is pasted here


@dataclass(frozen=True, slots=True)
class Plan:
    """What the login of a profile is.

    Attributes:
        way: In a word.
        word: The profile's word for the secret; empty where it has none.
        what: That secret, for a person.
    """

    way: Way
    word: str = ""
    what: str = "credential"


def plan_of(places: Mapping[str, str]) -> Plan:
    """The login of a profile with secrets in these places, each by its word.

    A key is made on the facility's own page and saved from there: nobody pastes one.
    """
    for word, what in _NAMES.items():
        if word not in places:
            continue
        if places[word] not in WRITABLE or word in {"key", "exchange"}:
            return Plan(Way.LOOK, word, what)
        return Plan(Way.PERSON if word == "refresh" else Way.PASTE, word, what)
    return Plan(Way.LOOK)


def has_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Whether a browser can be opened that reaches a port of this machine."""
    if environment.get("BROWSER"):
        return True
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return False  # a display that is forwarded may be there; its person's browser is elsewhere
    return platform == "darwin" or any(environment.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY"))


def road_of(asked: Road | None, *, browser: bool, code: bool, device: bool) -> Road | None:
    """How to go; None if the endpoint has no such road.

    Args:
        asked: What the person wants.
        browser: There is one here.
        code: The endpoint sends a browser back with a code.
        device: It lets a code be typed.
    """
    offered = {Road.BROWSER: code, Road.DEVICE: device, Road.ADDRESS: code}
    if asked is not None:
        return asked if offered[asked] else None
    order = (Road.BROWSER, Road.DEVICE, Road.ADDRESS) if browser else (Road.DEVICE, Road.ADDRESS)
    return next((each for each in order if offered[each]), None)
