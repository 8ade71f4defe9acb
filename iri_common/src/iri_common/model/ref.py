"""A job made findable from anywhere: one URI, no secret in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from iri_common.model.array import array_text
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey

_SCHEME = "iri+job"


def origin_of(url: str) -> str:
    """``host[:port]`` of a URL in lower case, the default port left out.

    Raises:
        UsageError: if the URL is not an absolute http(s) one.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"{url!r} is not an http(s) URL; a facility's base URL looks like https://host/api/v2"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return host if port in (None, default) else f"{host}:{port}"


def _array(text: str | None) -> str | None:
    try:
        return None if text is None else array_text(text)
    except ValueError as error:
        raise UsageError(f"not a job reference: its array is none: {error}") from None


@dataclass(frozen=True, slots=True)
class JobRef:
    """Where a job is: ``iri+job://<origin>/<dialect>/<resource>/<key.generation>?job=…&dir=…&once=…``.

    The key is the identity, the job id a hint that saves a search.

    Attributes:
        origin: ``host[:port]`` of the facility; a profile of another origin is refused.
        dialect: Which API, e.g. "iri".
        resource_id: The facility's id of the resource; job ids are unique only there.
        key: Identity and generation.
        job_id: The facility's id of the job, once known.
        directory: The job's directory at the facility, once known.
        profile: Under which name this door is configured where the job was asked for; a hint.
        array: The indices of its tasks, if it is an array: without them nobody knows when all are over.
        once: How exact "once" is for it: what keeps a double from working, and how a lost reply is settled,
            as the grades of its door call them ("lock-native"). Told for people, and for a wait that has no
            record of the job. Two references that differ in nothing else are equal.
    """

    origin: str
    dialect: str
    resource_id: str
    key: JobKey
    job_id: str | None = None
    directory: str | None = None
    profile: str | None = None
    array: str | None = None
    once: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        path = "/".join(quote(part, safe="") for part in (self.dialect, self.resource_id, str(self.key)))
        hints = {
            "job": self.job_id,
            "dir": self.directory,
            "profile": self.profile,
            "array": self.array,
            "once": self.once,
        }
        query = urlencode({name: value for name, value in hints.items() if value}, quote_via=quote)
        return f"{_SCHEME}://{self.origin}/{path}" + (f"?{query}" if query else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(ref)`` wrote.

        Raises:
            UsageError: if it is not such a URI.
        """
        expected = f"not a job reference: expected {_SCHEME}://<origin>/<dialect>/<resource>/<key>"
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise UsageError(f"{text!r} is {expected} ({error})") from None
        if "@" in parts.netloc:  # not repeated here: it may be a password
            raise UsageError(f"a reference with a user name or password is {expected}")
        path = [unquote(part) for part in parts.path.removeprefix("/").split("/")]
        if parts.scheme != _SCHEME or not parts.netloc or len(path) != 3 or not all(path):
            raise UsageError(f"{text!r} is {expected}")
        hints = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return cls(
            origin=parts.netloc.lower(),
            dialect=path[0],
            resource_id=path[1],
            key=JobKey.parse(path[2]),
            job_id=hints.get("job"),
            directory=hints.get("dir"),
            profile=hints.get("profile"),
            array=_array(hints.get("array")),
            once=hints.get("once"),
        )

    def with_job(self, job_id: str) -> Self:
        """The same reference with the facility's job id filled in."""
        return replace(self, job_id=job_id)

    def describe(self) -> str:
        """For a sentence in a log or an error: "job 42 at nersc"."""
        what = f"job {self.job_id}" if self.job_id else f"the job of key {self.key}"
        return f"{what} at {self.profile or self.origin}"
