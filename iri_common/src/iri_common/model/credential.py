"""What a credential is worth now, and in whose name it acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class CredentialState(StrEnum):
    """In words that a person understands."""

    OK = "ok"
    RENEWABLE = "renewable"
    NOT_YET_VALID = "not yet valid"
    EXPIRED = "expired"
    NEEDS_PERSON = "needs a person"
    UNKNOWN = "unknown"

    @property
    def works(self) -> bool:
        """Whether the facility takes it now."""
        return self in {CredentialState.OK, CredentialState.RENEWABLE}


class Renewal(StrEnum):
    """How the next token of a source comes about."""

    ITSELF = "itself"  # asked for, without a person
    REPLACED = "replaced"  # read again where somebody puts another one
    NEVER = "never"  # this process has no other


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a token source tells of itself.

    Attributes:
        identity: Names it without telling the secret.
        renewal: How its next token comes about.
        mend: What a person does when it works no more.
        given: What its tokens are had with was handed over: this process will never read another.
    """

    identity: str
    renewal: Renewal
    mend: str
    given: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """From when to when something counts; None where that is not told."""

    begins: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """All that is known of a credential.

    Attributes:
        source: As it tells of itself.
        token: The term of the token in hand, as it or its endpoint tells.
        lasting: The term of what a person made, as the facility tells: of a client, of a project's token.
        accepted: What the facility says of the token; None if it could not be asked.
        words: Those of its refusal, or why it could not be asked.
        mend: What a person does about just that refusal; "" for what the source tells of itself.
        silent: It has no answer to that, and never will.
    """

    source: SourceFacts
    token: Term = field(default_factory=Term)
    lasting: Term = field(default_factory=Term)
    accepted: bool | None = None
    words: str = ""
    mend: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """What a credential is worth now.

    Attributes:
        state: In a word.
        identity: Names it without telling the secret.
        since: When the state began, where that is known.
        until: When the state ends by itself, where that is known: the last moment of what works, the first
            of what does not work yet.
        why: What the state was concluded from.
        mend: What a person does about it; empty where there is nothing to do.
    """

    state: CredentialState
    identity: str
    since: datetime | None = None
    until: datetime | None = None
    why: str = ""
    mend: str = ""

    def outlives(self, moment: datetime) -> bool:
        """Whether it works until then, as far as is known."""
        return self.state.works and (self.until is None or self.until >= moment)


@dataclass(frozen=True, slots=True)
class Principal:
    """In whose name a credential acts.

    Attributes:
        name: Whom the token speaks for.
        owner: Whom jobs and the files that they write belong to; None where no jobs are run.
        why: Where owner and person differ, the rule behind it.
    """

    name: str
    owner: str | None = None
    why: str = ""
