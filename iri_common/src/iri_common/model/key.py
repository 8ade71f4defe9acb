"""The identity of a piece of work: who asks, and for which time."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from iri_common.model.errors import UsageError

_NAMESPACE = uuid.UUID("6f0c1a52-6f0a-5d1b-9d3e-3a1c7a1d4b60")  # ours; fixed for ever: keys depend on it
_GENERATION = re.compile(r"[1-9][0-9]{0,17}")
_TAG_LENGTH = 16  # hex characters: 64 bits, no collision in any ledger a person keeps


@dataclass(frozen=True, slots=True)
class JobKey:
    """Identity plus generation: asked for once, it runs once.

    Attributes:
        identity: Who asks, from the engine (for Airflow: dag, run, task, map index), as percent-encoded
            segments joined by "/". The same ask has the same identity in every try, process and host.
        generation: Starts at 1 and is raised only by :mod:`iri_common.policy.generation`: after a reported
            failure, a clear, a changed spec or an explicit "again". A crash or a lost reply keeps it.
    """

    identity: str
    generation: int = 1

    def __post_init__(self) -> None:
        if not self.identity:
            raise UsageError("a job key needs an identity: who asks for this job?")
        if self.generation < 1:
            raise UsageError(f"a job key's generation starts at 1, not {self.generation}")

    @classmethod
    def of(cls, *segments: object, generation: int = 1) -> Self:
        """Build a key from what identifies the ask, e.g. ``JobKey.of("airflow", dag, run, task, -1)``.

        Raises:
            UsageError: if there is no segment, or an empty one (two asks could then share a key).
        """
        words = [str(segment) for segment in segments]
        if not words or not all(words):
            raise UsageError(f"a job key needs segments that are not empty, got {segments!r}")
        try:
            return cls("/".join(quote(word, safe="") for word in words), generation)
        except UnicodeEncodeError:
            raise UsageError(f"a job key's segments are text, got {segments!r}") from None

    @classmethod
    def random(cls) -> Self:
        """A key for an ask that nobody will repeat, such as a line typed at a prompt."""
        return cls.of("once", uuid.uuid4().hex)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(key)`` wrote."""
        identity, dot, generation = text.rpartition(".")
        if not dot or not _GENERATION.fullmatch(generation):
            raise UsageError(f"{text!r} is not a job key: expected <identity>.<generation>")
        return cls(identity, int(generation))

    def __str__(self) -> str:
        return f"{self.identity}.{self.generation}"

    @property
    def segments(self) -> tuple[str, ...]:
        """The identity as it was given to :meth:`of`."""
        return tuple(unquote(segment) for segment in self.identity.split("/"))

    @property
    def digest(self) -> str:
        """The identity as 16 hex characters; the same for every generation."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:_TAG_LENGTH]

    @property
    def tag(self) -> str:
        """Identity and generation in letters that every scheduler takes in a job name."""
        return f"{self.digest}-{self.generation}"

    def job_name(self, name: str | None) -> str:
        """The name the job gets at the facility: the user's, then the tag by which it is found again."""
        return f"{name or 'iri'}.{self.tag}"

    def names(self, name: str | None) -> bool:
        """Whether a job of this name was asked for under this key, whatever else it is called."""
        return name is not None and name.endswith(f".{self.tag}")

    def idempotency_key(self, resource_id: str) -> str:
        """A UUID for the ``Idempotency-Key`` header.

        Bound to the resource, because servers do not: the same key and body on another resource returns
        the first resource's job (seen with the IRI v2 reference server).
        """
        return str(uuid.uuid5(_NAMESPACE, f"{resource_id}\n{self}"))

    def next(self) -> Self:
        """The key of the next generation."""
        return type(self)(self.identity, self.generation + 1)
