"""Which facility is meant, and where that was said."""

from __future__ import annotations

import os
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iri_common.model.errors import ProfileError, UsageError

if TYPE_CHECKING:
    from iri_common.cli.options import DoorWords
    from iri_common.facility.facility import Facility
    from iri_common.facility.settings import FacilitySettings
    from iri_common.model.ports import TokenSource
    from iri_common.model.ref import JobRef

VARIABLE = "IRI_FACILITY"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        profile: Its name, or None where a URL was given.
        reason: Why this one, for a person.
    """

    profile: str | None
    reason: str


def choose(words: DoorWords, ref: JobRef | None = None) -> Choice:
    """The profile that is meant: by option, variable, the job's own hint, or because there is only one.

    Raises:
        UsageError: if none is, or two are.
    """
    from iri_common.facility.profiles import config_file, profile_names

    if words.url:
        if words.facility:
            raise UsageError("--url and --facility name two facilities; give one of them")
        if words.token_env and words.token_file:
            raise UsageError("--token-env and --token-file name two tokens; give one of them")
        return Choice(None, "--url")
    if words.dialect:
        raise UsageError("--dialect goes with --url; a profile has its own dialect")
    if words.token_env or words.token_file:
        raise UsageError("--token-env and --token-file go with --url; a profile has its own token")
    if words.facility:
        return Choice(words.facility, "--facility")
    if named := os.environ.get(VARIABLE):
        return Choice(named, VARIABLE)
    if ref and ref.profile:
        return Choice(ref.profile, "the job's reference")
    names = profile_names()
    if len(names) == 1:
        return Choice(names[0], "the only profile")
    if names:
        raise UsageError(f"which facility? Give --facility, one of: {', '.join(names)} (or set {VARIABLE})")
    raise ProfileError(
        f"there is no profile yet. Write one to {config_file()}, for example:\n\n"
        '  [nersc]\n  url = "https://api.iri.nersc.gov/api/v2"\n'
        '  token = { file = "~/.config/iri/nersc.token" }\n\n'
        "or give --url with --token-env or --token-file"
    )


def open_facility(words: DoorWords, ref: JobRef | None = None) -> Facility:
    """The facility that is meant.

    Raises:
        UsageError: if it is not clear which, or if its profile cannot be used.
    """
    from iri_common.facility.facility import Facility

    profile = choose(words, ref).profile
    if profile is not None:
        return Facility.from_profile(profile)
    return Facility(words.url or "", **_given(words))


def settings_of(words: DoorWords, choice: Choice) -> FacilitySettings:
    """The settings behind a choice, to look at."""
    from iri_common.facility.profiles import load_profile
    from iri_common.facility.settings import make_settings

    if choice.profile is not None:
        return load_profile(choice.profile)
    return make_settings(words.url or "", **_given(words))


def _given(words: DoorWords) -> dict[str, Any]:
    """What goes with a URL."""
    dialect = {"dialect": words.dialect} if words.dialect else {}
    return {"token": given_token(words), **dialect}


def work_directory(words: DoorWords, resource: str | None) -> str | None:
    """Where jobs work that name no directory: the profile's, if it has one."""
    settings = settings_of(words, choose(words))
    return settings.defaults_for(resource, settings.resource).directory


def given_token(words: DoorWords) -> TokenSource | None:
    """The token of ``--token-env`` or ``--token-file``."""
    from iri_common.auth.static import token_from_env, token_from_file

    if words.token_env:
        return token_from_env(words.token_env)
    return token_from_file(words.token_file) if words.token_file else None


def home_of(profile: str) -> str:
    """Where a profile is written: the file, the environment, or both."""
    from iri_common.facility.profiles import PREFIX, config_file

    path = config_file()
    try:
        in_file = profile in tomllib.loads(path.read_text())
    except (OSError, ValueError):
        in_file = False
    prefix = f"{PREFIX}{profile.upper().replace('-', '_')}_"
    in_env = any(name.startswith(prefix) for name in os.environ)
    places = [*([short(path)] if in_file else []), *([f"{prefix}*"] if in_env else [])]
    return " and ".join(places) or short(path)


def short(path: Path) -> str:
    """A path as a person writes it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def same_door(words: DoorWords, profile: str | None) -> str:
    """The options that lead another command to the same facility."""
    told = [("--url", words.url), ("--dialect", words.dialect)]
    told += [("--token-env", words.token_env), ("--token-file", words.token_file)]
    if not words.url:
        told = [("--facility", profile)]
    return "".join(f" {option} {shlex.quote(value)}" for option, value in told if value)
