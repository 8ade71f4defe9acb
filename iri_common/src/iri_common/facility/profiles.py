"""Profiles: named doors in ``~/.config/iri/facilities.toml`` or the environment; secrets by reference.

```toml
[nersc]
url = "https://api.iri.nersc.gov/api/v2"
token = { file = "~/.config/iri/nersc.token" }  # or env, command = ["scontrol", "token"], keyring = "nersc"
resource = "perlmutter"
account = "m1234"

[nersc.resources.perlmutter]
queue = "debug"
directory = "/pscratch/sd/a/alice"
```

A client in place of a token, which fetches tokens by itself:

```toml
[nersc.client]            # with a private key; without token_url NERSC's
key = { file = "~/.superfacility/key.pem" }  # or the folder

[cscs.client]             # with a secret
id = "…"
token_url = "https://…/token"
secret = { env = "CSCS_SECRET" }

[portal.client]           # for a person who logged in
id = "…"
token_url = "https://…/token"
refresh = { file = "~/.config/iri/portal.refresh" }

[ci.client]               # with another's token, here what GitHub says of a workflow
token_url = "https://…/token"
exchange = { github = "https://…" }

[esnet.client]            # for a person, where the endpoint allows it
id = "…"
token_url = "https://…/token"
user = "alice"
password = { file = "~/.config/iri/esnet.password" }
```

``IRI_FACILITY_<NAME>_<SETTING>`` overrides one setting, or makes a profile where the file has none. A secret
is in one variable (``_TOKEN``, ``_CLIENT_SECRET``, ``_CLIENT_KEY``, ``_CLIENT_REFRESH``,
``_CLIENT_PASSWORD``), or with ``_FILE``, ``_COMMAND`` or ``_KEYRING`` behind that name in the file, from the
command or in the keyring that it names; two of these are refused.

Globus: a facility's files as a collection shows them, and who speaks to Globus.

```toml
[olcf.globus]
collection = "36d521b3-c182-4071-b7d5-91db5d380d42"  # without it, what the storage API tells
root = "/lustre/orion"    # the facility's path that the collection shows as "/"; by default "/"
lend = true               # files, guards and journals go through the collection, not the facility's own API
account = "alice"         # there, whose files are that Globus writes: a transfer warns if jobs run as another

[globus.client]           # for every facility, and for globus:// ends that are none
id = "…"                  # registered at app.globus.org/settings/developers
secret = { env = "GLOBUS_SECRET" }  # it speaks for itself; without a secret for who ran `iri globus login`
```

What a profile may be used for, and what is written down of that (see docs/grants.md):

```toml
[nersc.grant]             # each of them may be left out; a variable or a caller can only narrow them
verbs = ["look", "submit", "cancel", "read", "write"]
accounts = ["m1234"]
nodes = 4
node_hours_a_day = 100
paths = ["/pscratch/sd/a/alice/portal"]
```

``audit = "off"`` beside the url writes nothing down, "all" looks and reads as well.

``[globus.grant]`` likewise, for flows, functions over Globus Compute and ``globus://`` ends.

``[globus]`` is no facility. Instead of a client it takes ``token = { env = … }``, a token of Globus Transfer;
``person = true`` beside a secret speaks for whoever logged in. ``[olcf.globus.client]`` is for one facility
alone. In the environment: ``IRI_GLOBUS_CLIENT_ID``, ``_CLIENT_SECRET``, ``_TOKEN``, ``_TOKEN_FILE`` and, for
one facility, ``IRI_FACILITY_<NAME>_GLOBUS_COLLECTION``, ``_ROOT``, ``_LEND``, ``_CLIENT_ID`` and so on.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from iri_common.apis.globus import LOGIN, GlobusCredential
from iri_common.facility.collections import Speaker
from iri_common.facility.credentials import Client, Secret, Words, client_from_env, pointer_from_env
from iri_common.facility.globuswords import GlobusIdentity, GlobusOfFacility, GlobusSection
from iri_common.facility.settings import FacilitySettings, ResourceDefaults, audit_of, make_settings
from iri_common.model.errors import AuthError, ProfileError, UsageError
from iri_common.model.grant import Audit, Grant
from iri_common.model.ports import TokenSource
from iri_common.policy.places import place

PREFIX = "IRI_FACILITY_"
GLOBUS_PREFIX = "IRI_GLOBUS_"
GLOBUS = "globus"  # the section that is no facility
_UNKNOWN = "extra_forbidden"  # pydantic's word for a setting that there is not


class _Resource(Words):
    account: str | None = None
    queue: str | None = None
    directory: str | None = None
    pre_launch: str | None = None
    guard_directory: str | None = None


class _Profile(Words):
    """The words of a section; all may be missing, because the environment can add them."""

    url: str | None = None
    dialect: str | None = None
    user: str | None = None
    site: str | None = None
    api_version: str | None = None
    token: Secret | None = None
    client: Client | None = None
    resource: str | None = None
    storage: str | None = None
    account: str | None = None
    queue: str | None = None
    directory: str | None = None
    pre_launch: str | None = None
    guard: bool | None = None
    guard_directory: str | None = None
    on_outage: str | None = None
    outage_limit: float | None = Field(default=None, gt=0)
    enclave: str | None = None
    ca_file: str | None = None
    proxy: str | None = None
    poll_seconds: float | None = Field(default=None, gt=0)
    audit: str | None = None
    grant: dict[str, Any] | None = None
    globus: GlobusOfFacility | None = None
    resources: dict[str, _Resource] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.token and self.client:
            raise ValueError("has both a token and a client; only one can be used")
        return self

    def token_source(self, login: str) -> TokenSource | None:
        if self.token:
            return self.token.reader(login)
        if self.client:
            return self.client.source(login)
        return None

    def plain(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude=_TABLES)


_TABLES = {"token", "client", "grant", "globus", "resources"}


def config_file() -> Path:
    """``$IRI_CONFIG``, or ``facilities.toml`` in ``$XDG_CONFIG_HOME/iri`` (by default ``~/.config/iri``)."""
    if named := os.environ.get("IRI_CONFIG"):
        return Path(named).expanduser()
    return Path(place(os.environ, "config", "facilities.toml")).expanduser()


def profile_names() -> list[str]:
    """Every profile that can be named here, from the file and the environment."""
    from_env = {
        variable.removeprefix(PREFIX).removesuffix("_URL").lower()
        for variable in os.environ
        if variable.startswith(PREFIX) and variable.endswith("_URL") and not variable.endswith("_TOKEN_URL")
    }
    return sorted((set(_sections()) | from_env) - {GLOBUS})


def load_globus() -> GlobusCredential | None:
    """Who speaks to Globus where a facility names nobody; raises as :func:`load_speaker`."""
    speaker = load_speaker()
    return speaker.credential if speaker is not None else None


def load_speaker() -> Speaker | None:
    """Who speaks to Globus beside all facilities, and what for: ``$IRI_GLOBUS_*``, else section ``[globus]``.

    Raises:
        ProfileError: if that section has a word that is not known.
    """
    section, found = _sections().get(GLOBUS, {}), _set_in_env(GLOBUS_PREFIX)
    # Another identity is not another grant.
    limits = {word: section[word] for word in ("grant", "audit") if word in section}
    words = limits | (_identity_from_env(GLOBUS_PREFIX) or section)
    try:
        said = GlobusSection(**words)
        credential = said.credential()
        grant = (Grant.of(said.grant) or Grant()).narrowed(Grant.of(_limits_in(found)))
        kept = _kept_to(grant, said.audit, {"audit": found.get("audit")})
    except ValidationError as error:
        raise ProfileError(f"the section [{GLOBUS}]: {_problems(error, GlobusSection)}") from None
    except UsageError as error:
        raise ProfileError(f"the section [{GLOBUS}] cannot be used: {error}") from None
    return Speaker(credential, kept["grant"], kept["audit"], GLOBUS) if credential is not None else None


def speaker_of(
    credential: GlobusCredential | None,
    grant: Grant | Mapping[str, Any] | str | None,
    audit: Audit | str | None,
) -> Speaker:
    """The one that is given, or else that of :func:`load_speaker`, whose grant a caller can only narrow.

    Raises:
        UsageError: if nobody is named who speaks to Globus.
    """
    known = load_speaker() if credential is None else Speaker(credential)
    if known is None:
        raise UsageError(
            "nobody speaks to Globus here: name a client in the section [globus], or give a GlobusCredential"
        )
    if credential is not None:
        return replace(known, grant=Grant.of(grant) or Grant(), audit=audit_of(audit or Audit.ACTS))
    return replace(known, **_kept_to(known.grant, known.audit, {"grant": grant, "audit": audit}))


def load_profile(name: str, **overrides: Any) -> FacilitySettings:
    """The settings of a profile.

    Args:
        name: Of the profile.
        overrides: Settings that are stronger than the profile's.

    Raises:
        ProfileError: if there is none of that name (the message names those that do exist), or if it
            has a word that is not known.
    """
    profile, narrower = _profile_of(name)
    if profile.url is None and "url" not in overrides:
        raise ProfileError(f"the profile {name!r} has no url (file: {config_file()})")
    settings: dict[str, Any] = {"name": name, "profile": name}
    try:
        settings["per_resource"] = {
            each: ResourceDefaults(**values.model_dump()) for each, values in profile.resources.items()
        }
        settings["token"] = profile.token_source(f"iri login {shlex.quote(name)}")
        if profile.globus is not None:
            login = f"{LOGIN} -f {shlex.quote(name)}"
            settings["globus"] = profile.globus.settings(profile.globus.credential(login) or load_globus())
        grant = (Grant.of(profile.grant) or Grant()).narrowed(Grant.of(narrower))
        overrides = _kept_to(grant, profile.audit, overrides) | {"profile": name}
        return make_settings(**{**settings, **profile.plain(), **overrides})
    except (UsageError, AuthError) as error:
        raise ProfileError(f"the profile {name!r} cannot be used: {error}") from None


def credential_words(name: str) -> tuple[Secret | None, Client | None]:
    """Where a profile has its token, or its client; raises as ``load_profile``."""
    profile, _ = _profile_of(name)
    return profile.token, profile.client


def _profile_of(name: str) -> tuple[_Profile, Any]:
    """What the file and the environment say together, and by what a variable narrows the grant."""
    sections = _sections()
    words, stronger = dict(sections.get(name, {})), _from_env(name)
    if "token" in stronger or "client" in stronger:  # another credential, not a second one
        words = {word: value for word, value in words.items() if word not in {"token", "client"}}
    if GLOBUS in stronger:
        words[GLOBUS] = _stronger_globus(words.get(GLOBUS), stronger.pop(GLOBUS))
    narrower = stronger.pop("grant", None)
    words |= stronger
    if name == GLOBUS or (name not in sections and "url" not in words):
        raise ProfileError(_no_such(name))
    return _parsed(name, words), narrower


def _kept_to(grant: Grant, audit: str | None, overrides: dict[str, Any]) -> dict[str, Any]:
    """What a caller says beside a profile: of its grant it can have less, of what is written down more."""
    moved = [each for each in ("guard_directory", "per_resource") if overrides.get(each) is not None]
    if grant.paths is not None and moved:
        raise UsageError(f"its grant names paths: {moved[0]} is the profile's to say")
    levels = list(Audit)
    most = max(audit_of(audit or Audit.ACTS), audit_of(overrides.get("audit") or Audit.OFF), key=levels.index)
    return overrides | {"grant": grant.narrowed(Grant.of(overrides.get("grant"))), "audit": most}


def _parsed(name: str, words: dict[str, Any]) -> _Profile:
    try:
        return _Profile(**words)
    except ValidationError as error:
        raise ProfileError(f"the profile {name!r}: {_problems(error, _Profile)}") from None


def _problems(error: ValidationError, words: type[Words]) -> str:
    # include_input=False: a token written into the file by mistake must not come out in a log.
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in each['loc'])}: {_problem(each)}" for each in problems]
    if all(each["type"] != _UNKNOWN for each in problems):
        return "; ".join(lines)
    return f"{'; '.join(lines)} (settings: {', '.join(words.model_fields)})"


def _problem(told: ErrorDetails) -> str:
    return "no such setting" if told["type"] == _UNKNOWN else told["msg"].removeprefix("Value error, ")


def _no_such(name: str) -> str:
    names = ", ".join(profile_names())
    there = f"profiles that exist: {names}" if names else "there are no profiles yet"
    return f"there is no profile {name!r}; {there} (file: {config_file()}, environment: {PREFIX}<NAME>_URL)"


def _sections() -> dict[str, dict[str, Any]]:
    path = config_file()
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from None
    for name, section in content.items():
        if not isinstance(section, dict):
            raise ProfileError(f"{path}: {name!r} stands outside of any [profile]")
    return content


def _from_env(name: str) -> dict[str, Any]:
    prefix = f"{PREFIX}{name.upper().replace('-', '_')}_"
    found = _set_in_env(prefix)
    plain = set(_Profile.model_fields) - _TABLES
    words: dict[str, Any] = {word: value for word, value in found.items() if word in plain}
    if token := pointer_from_env(prefix, found, "token"):
        words["token"] = token
    if client := client_from_env(prefix, found):
        words["client"] = client
    if limits := _limits_in(found):
        words["grant"] = limits
    if of_globus := _globus_from_env(prefix, found):
        words[GLOBUS] = of_globus
    return words


def _limits_in(found: Mapping[str, str]) -> dict[str, str] | None:
    return {each: found[f"grant_{each}"] for each in Grant.limits() if f"grant_{each}" in found} or None


def _stronger_globus(words: object, stronger: dict[str, Any]) -> object:
    if not isinstance(words, dict):
        return words or stronger
    kept: dict[str, Any] = dict(words)  # pyright: ignore[reportUnknownArgumentType]
    if "token" in stronger or "client" in stronger:  # another credential, not a second one
        kept = {word: value for word, value in kept.items() if word not in {"token", "client"}}
    return kept | stronger


def _globus_from_env(prefix: str, found: Mapping[str, str]) -> dict[str, Any]:
    plain = set(GlobusOfFacility.model_fields) - set(GlobusIdentity.model_fields)
    words = {word: found[f"globus_{word}"] for word in plain if f"globus_{word}" in found}
    return words | _identity_from_env(f"{prefix}GLOBUS_")


def _identity_from_env(prefix: str) -> dict[str, Any]:
    found = _set_in_env(prefix)
    words: dict[str, Any] = {}
    if token := pointer_from_env(prefix, found, "token"):
        words["token"] = token
    if client := found.get("client_id"):
        secret = pointer_from_env(prefix, found, "client_secret")
        words["client"] = {"id": client} | ({"secret": secret} if secret else {})
    return words


def _set_in_env(prefix: str) -> Mapping[str, str]:
    """The variables that are set, by the rest of their names in small letters."""
    return {
        variable.removeprefix(prefix).lower(): value
        for variable, value in os.environ.items()
        if variable.startswith(prefix) and value
    }
