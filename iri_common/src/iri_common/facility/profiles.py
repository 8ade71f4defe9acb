"""Profiles: named doors in ``~/.config/iri/facilities.toml`` or the environment; secrets by reference.

```toml
[nersc]
url = "https://api.iri.nersc.gov/api/v2"
token = { file = "~/.config/iri/nersc.token" }      # or { env = "NERSC_TOKEN" }
resource = "perlmutter"
account = "m1234"

[nersc.resources.perlmutter]
queue = "debug"
directory = "/pscratch/sd/a/alice"
```

``IRI_FACILITY_<NAME>_<SETTING>`` overrides one setting, or makes a profile where the file has none.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iri_common.auth.client_credentials import ClientCredentials
from iri_common.auth.static import TokenReader, token_from_env, token_from_file
from iri_common.facility.settings import FacilitySettings, ResourceDefaults, make_settings
from iri_common.model.errors import AuthError, ProfileError, UsageError
from iri_common.model.ports import TokenSource

PREFIX = "IRI_FACILITY_"
_POINT = 'must point to a secret, as { env = "NAME" } or { file = "path" }; no secret is written here'


class _Words(BaseModel):
    # Hidden: what is written in a wrong place may be a secret.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Secret(_Words):
    """Where a secret is; never the secret."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_inline(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(_POINT)
        return value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError(_POINT)
        return self

    def reader(self) -> TokenReader:
        return token_from_env(self.env) if self.env else token_from_file(self.file or "")


class _Client(_Words):
    """OAuth2 client credentials."""

    id: str
    token_url: str
    secret: _Secret
    scope: str = ""


class _Resource(_Words):
    account: str | None = None
    queue: str | None = None
    directory: str | None = None
    pre_launch: str | None = None
    guard_directory: str | None = None


class _Profile(_Words):
    """The words of a section; all may be missing, because the environment can add them."""

    url: str | None = None
    dialect: str | None = None
    token: _Secret | None = None
    client: _Client | None = None
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
    ca_file: str | None = None
    proxy: str | None = None
    poll_seconds: float | None = Field(default=None, gt=0)
    resources: dict[str, _Resource] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.token and self.client:
            raise ValueError("has both a token and a client; only one can be used")
        return self

    def token_source(self) -> TokenSource | None:
        if self.token:
            return self.token.reader()
        if self.client:
            secret = self.client.secret.reader()
            return ClientCredentials(
                self.client.token_url, self.client.id, secret.read, scope=self.client.scope
            )
        return None

    def plain(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude={"token", "client", "resources"})


def config_file() -> Path:
    """``$IRI_CONFIG``, or ``facilities.toml`` in ``$XDG_CONFIG_HOME/iri`` (by default ``~/.config/iri``)."""
    if named := os.environ.get("IRI_CONFIG"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "iri" / "facilities.toml"


def profile_names() -> list[str]:
    """Every profile that can be named here, from the file and the environment."""
    from_env = {
        variable.removeprefix(PREFIX).removesuffix("_URL").lower()
        for variable in os.environ
        if variable.startswith(PREFIX) and variable.endswith("_URL") and not variable.endswith("_TOKEN_URL")
    }
    return sorted(set(_sections()) | from_env)


def load_profile(name: str, **overrides: Any) -> FacilitySettings:
    """The settings of a profile.

    Args:
        name: Of the profile.
        overrides: Settings that are stronger than the profile's.

    Raises:
        ProfileError: if there is none of that name (the message names those that do exist), or if it
            has a word that is not known.
    """
    sections = _sections()
    words, stronger = dict(sections.get(name, {})), _from_env(name)
    if "token" in stronger or "client" in stronger:  # another credential, not a second one
        words = {word: value for word, value in words.items() if word not in {"token", "client"}}
    words |= stronger
    if name not in sections and "url" not in words:
        raise ProfileError(_no_such(name))
    profile = _parsed(name, words)
    if profile.url is None and "url" not in overrides:
        raise ProfileError(f"the profile {name!r} has no url (file: {config_file()})")
    settings: dict[str, Any] = {"name": name, "profile": name}
    try:
        settings["per_resource"] = {
            each: ResourceDefaults(**values.model_dump()) for each, values in profile.resources.items()
        }
        settings["token"] = profile.token_source()
        return make_settings(**{**settings, **profile.plain(), **overrides})
    except (UsageError, AuthError) as error:
        raise ProfileError(f"the profile {name!r} cannot be used: {error}") from None


def _parsed(name: str, words: dict[str, Any]) -> _Profile:
    try:
        return _Profile(**words)
    except ValidationError as error:
        # include_input=False: a token written into the file by mistake must not come out in a log.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in problems]
        known = ", ".join(_Profile.model_fields)
        raise ProfileError(f"the profile {name!r}: {'; '.join(lines)} (settings: {known})") from None


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
    found = {
        variable.removeprefix(prefix).lower(): value
        for variable, value in os.environ.items()
        if variable.startswith(prefix) and value
    }
    plain = set(_Profile.model_fields) - {"token", "client", "resources"}
    words: dict[str, Any] = {word: value for word, value in found.items() if word in plain}
    if "token" in found:
        words["token"] = {"env": f"{prefix}TOKEN"}
    elif "token_file" in found:
        words["token"] = {"file": found["token_file"]}
    elif "client_id" in found:
        words["client"] = {"id": found["client_id"], "secret": {"env": f"{prefix}CLIENT_SECRET"}}
        words["client"] |= {word: found[word] for word in ("token_url", "scope") if word in found}
    return words
