"""How one door is configured: where it is, whose credential, which defaults."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from iri_common.apis.kind import ApiKind, ApiWords
from iri_common.auth.static import StaticToken
from iri_common.facility.collections import GlobusSettings
from iri_common.facility.dialects import DEFAULT, api_kind
from iri_common.http.transport import WireSettings
from iri_common.model.errors import UsageError
from iri_common.model.grant import Audit, Grant
from iri_common.model.key import JobKey
from iri_common.model.ports import TokenSource
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.spec import JobSpec
from iri_common.policy.enclave import enclave_of
from iri_common.policy.outage import OnOutage
from iri_common.policy.pace import Pace


@dataclass(frozen=True, slots=True)
class ResourceDefaults:
    """What jobs at one resource take where their spec says nothing.

    Attributes:
        account: To charge.
        queue: To wait in.
        directory: To work in; relative paths of a spec are below it.
        pre_launch: Shell text that sets up the environment.
        guard_directory: Where guards and journals are kept, an absolute path that jobs can write to; by
            default ``.iri`` in the home that the job sees.
    """

    account: str | None = None
    queue: str | None = None
    directory: str | None = None
    pre_launch: str | None = None
    guard_directory: str | None = None

    def __post_init__(self) -> None:
        if self.guard_directory is not None and not self.guard_directory.startswith("/"):
            raise UsageError(
                f"guard_directory is an absolute path at the facility, not {self.guard_directory!r}"
            )

    def over(self, other: ResourceDefaults) -> ResourceDefaults:
        """These, with ``other``'s values where there are none."""
        return ResourceDefaults(
            self.account or other.account,
            self.queue or other.queue,
            self.directory or other.directory,
            self.pre_launch or other.pre_launch,
            self.guard_directory or other.guard_directory,
        )

    def applied(self, spec: JobSpec) -> JobSpec:
        """The spec with these defaults filled in."""
        spec = spec.with_attributes(account=self.account, queue_name=self.queue)
        fills: dict[str, Any] = {
            name: value
            for name, value in (("directory", self.directory), ("pre_launch", self.pre_launch))
            if value and getattr(spec, name) is None
        }
        return spec.model_copy(update=fills) if fills else spec


@dataclass(frozen=True, slots=True)
class FacilitySettings:
    """One configured door.

    Attributes:
        url: Base URL up to and including the API's version (".../api/v2").
        token: Where bearer tokens come from; None for what is public.
        name: What messages call it; the profile's name where it has one.
        profile: The profile it was read from.
        dialect: Which API it speaks.
        words: What else its dialect wants to know.
        resource: Name or id of the resource that jobs go to if none is named.
        storage: Name or id of the resource whose files are meant if none is named.
        defaults: For every resource.
        per_resource: By the resource's name or id; stronger than ``defaults``.
        wire: Proxy, certificate authorities, time limits.
        globus: Its files as a Globus collection shows them, and who speaks to Globus.
        pace: How often a wait looks.
        guard: Jobs check for themselves that they are no doubles, and keep a journal.
        on_outage: What a submit does when the resource or its API is down.
        outage_limit: Seconds that it waits at most, where it waits.
        grant: What it may be used for.
        audit: What is written down of that.
        enclave: Whose rules for data hold there; by default as the URL tells.
    """

    url: str
    token: TokenSource | None = None
    name: str = ""
    profile: str | None = None
    dialect: str = DEFAULT
    words: ApiWords = field(default_factory=ApiWords)
    resource: str | None = None
    storage: str | None = None
    defaults: ResourceDefaults = field(default_factory=ResourceDefaults)
    per_resource: Mapping[str, ResourceDefaults] = field(default_factory=dict[str, ResourceDefaults])
    wire: WireSettings = field(default_factory=WireSettings)
    globus: GlobusSettings | None = None
    pace: Pace = field(default_factory=Pace)
    guard: bool = True
    on_outage: OnOutage = OnOutage.WAIT
    outage_limit: float = 3600.0
    grant: Grant = field(default_factory=Grant)
    audit: Audit = Audit.ACTS
    enclave: str = ""

    def __post_init__(self) -> None:
        origin_of(self.url)
        object.__setattr__(self, "enclave", self.enclave or enclave_of(self.url))
        parts = urlsplit(self.url)
        if parts.query or parts.fragment or parts.username or parts.password:
            raise UsageError(f"a facility's URL has no query, fragment or password in it: {self.label}")
        if self.audit is Audit.OFF and self.grant.node_hours_a_day is not None:
            raise UsageError('node_hours_a_day are counted in the audit log: audit cannot be "off" with them')
        if problem := self.kind.problem(self.words):
            raise UsageError(f"{self.label} cannot be used: {problem}")

    @property
    def label(self) -> str:
        """What messages call this door."""
        return self.name or origin_of(self.url)

    @property
    def kind(self) -> ApiKind:
        """The API that it speaks."""
        return api_kind(self.dialect)

    @property
    def door(self) -> tuple[object, ...]:
        """Equal for settings that can share connections, token, budget and poller."""
        whose = self.token.identity if self.token else None
        return (
            self.url.rstrip("/"),
            self.dialect,
            self.words,
            whose,
            self.wire,
            self.globus.key if self.globus else None,
        )

    def defaults_for(self, *names: str | None) -> ResourceDefaults:
        """The defaults of a resource known by any of these names."""
        for name in names:
            if name and name in self.per_resource:
                return self.per_resource[name].over(self.defaults)
        return self.defaults

    def guard_directories(self, key: JobKey) -> Sequence[str]:
        """Where the guards of a key may be, as far as that is configured."""
        each_resource = (self.defaults, *self.per_resource.values())
        roots = dict.fromkeys(each.guard_directory for each in each_resource if each.guard_directory)
        return [posixpath.join(root, key.digest) for root in roots]

    def require_own(self, ref: JobRef) -> None:
        """Refuse a job of another facility or API: an id means something only where it was given out.

        Raises:
            UsageError: naming both.
        """
        if ref.origin != origin_of(self.url) or ref.dialect != self.dialect:
            raise UsageError(
                f"{ref.describe()} belongs to {ref.dialect} at {ref.origin}; "
                f"{self.label} is {self.dialect} at {origin_of(self.url)}"
            )


def make_settings(
    url: str,
    *,
    token: str | TokenSource | None = None,
    poll_seconds: float | str | None = None,
    account: str | None = None,
    queue: str | None = None,
    directory: str | None = None,
    pre_launch: str | None = None,
    guard: bool | str = True,
    guard_directory: str | None = None,
    on_outage: OnOutage | str = OnOutage.WAIT,
    outage_limit: float | str = 3600.0,
    grant: Grant | Mapping[str, Any] | str | None = None,
    audit: Audit | str = Audit.ACTS,
    ca_file: str | None = None,
    proxy: str | None = None,
    user: str | None = None,
    site: str | None = None,
    api_version: str | None = None,
    per_resource: Mapping[str, ResourceDefaults | Mapping[str, str | None]] | None = None,
    **others: Any,
) -> FacilitySettings:
    """Settings from plain words, as a script, a connection form or a block gives them.

    Raises:
        UsageError: naming any word that is not known.
    """
    known = {"name", "profile", "dialect", "resource", "storage", "globus", "enclave"}
    if unknown := sorted(set(others) - known):
        words = sorted(known | set(make_settings.__kwdefaults__ or ()))
        raise UsageError(f"unknown facility settings: {', '.join(unknown)} (known: {', '.join(words)})")
    settings = FacilitySettings(
        url=url,
        token=StaticToken(token) if isinstance(token, str) else token,
        defaults=ResourceDefaults(account, queue, directory, pre_launch, guard_directory),
        per_resource={each: _resource_defaults(each, words) for each, words in (per_resource or {}).items()},
        wire=WireSettings(ca_file=ca_file, proxy=proxy),
        words=ApiWords(user, site, api_version),
        guard=_yes_or_no("guard", guard),
        on_outage=on_outage_of(on_outage),
        outage_limit=seconds_of("outage_limit", outage_limit),
        grant=Grant.of(grant) or Grant(),
        audit=audit_of(audit),
        **others,
    )
    if poll_seconds is None:
        return settings
    quickest = seconds_of("poll_seconds", poll_seconds)
    return replace(settings, pace=Pace(quickest=quickest, slowest=max(quickest, Pace().slowest)))


def on_outage_of(word: OnOutage | str) -> OnOutage:
    """The word that a user wrote for what to do in an outage.

    Raises:
        UsageError: naming the words there are.
    """
    try:
        return OnOutage(word)
    except ValueError:
        words = ", ".join(OnOutage)
        raise UsageError(f"on_outage is one of {words}, not {word!r}") from None


def audit_of(word: Audit | str) -> Audit:
    """The word that a user wrote for what is written down.

    Raises:
        UsageError: naming the words there are.
    """
    try:
        return Audit(word)
    except ValueError:
        raise UsageError(f"audit is one of {', '.join(Audit)}, not {word!r}") from None


def seconds_of(setting: str, value: float | str) -> float:
    """A number of seconds that a user wrote.

    Raises:
        UsageError: naming the setting.
    """
    try:
        seconds = float(value)  # a connection form or a template gives a text
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{setting} must be a number of seconds and more than 0, not {value!r}")
    return seconds


def _yes_or_no(setting: str, value: bool | str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    try:
        return words[value.strip().lower()]
    except (KeyError, AttributeError):
        raise UsageError(f"{setting} is true or false, not {value!r}") from None


def _resource_defaults(resource: str, words: ResourceDefaults | Mapping[str, str | None]) -> ResourceDefaults:
    if isinstance(words, ResourceDefaults):
        return words
    known = [each.name for each in fields(ResourceDefaults)]
    if unknown := sorted(set(words) - set(known)):
        raise UsageError(
            f"unknown defaults of resource {resource!r}: {', '.join(unknown)} (known: {', '.join(known)})"
        )
    return ResourceDefaults(**words)
