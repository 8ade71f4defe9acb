"""Replies as an API sends them: only the fields that are used, and what does not fit said in words.

Facilities add fields (``_links`` is coming to IRI), leave out what is null and send null for what is absent,
so both count the same here and further fields are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from iri_common.model.errors import AmbiguousReply, ReplyError, UsageError
from iri_common.model.outcome import FacilityTask
from iri_common.policy.classify import Outcome
from iri_common.policy.telling import Hide, bounded


class WireModel(BaseModel):
    """A reply's object. Null is the same as absent; a number is taken where a text is expected."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[object, object]", value)
        return {name: each for name, each in fields.items() if each is not None}


M = TypeVar("M", bound=WireModel)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the replies of one operation, and names it where they do not fit.

    Attributes:
        facility: What errors call the facility.
        operation: The API's name of what was asked.
        hide: Takes out of words what must not be told.
    """

    facility: str
    operation: str
    hide: Hide = field(default=bounded, repr=False)

    def one(self, model: type[M], value: object) -> M:
        """Read one object.

        Raises:
            ReplyError: if it does not fit.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise self.unfit(_reasons(error)) from None

    def many(self, model: type[M], value: object) -> list[M]:
        """Read a list of objects.

        Raises:
            ReplyError: if it is no list, or an entry does not fit.
        """
        if not isinstance(value, list):
            raise self.unfit(f"a list was expected, not {kind(value)}")
        entries = cast("list[object]", value)
        return [self.one(model, entry) for entry in entries]

    def unfit(self, what: str) -> ReplyError:
        """The error that says what is wrong with a reply."""
        return ReplyError(
            f"the facility's answer does not fit its API: {what}",
            facility=self.facility,
            operation=self.operation,
            outcome=Outcome.UNREADABLE,
        )

    def ambiguous(self, what: str) -> AmbiguousReply:
        """The error for a request with an effect whose answer says success and nothing else."""
        return AmbiguousReply(
            f"the request was accepted, but whether it took effect is unknown: {what}",
            facility=self.facility,
            operation=self.operation,
            outcome=Outcome.UNREADABLE,
        )


def kind(value: object) -> str:
    """What a JSON value is, without telling its content."""
    name = type(value).__name__
    return {"NoneType": "nothing", "dict": "an object", "list": "a list", "str": "a text"}.get(name, name)


def _reasons(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    words = [f"{'.'.join(map(str, each['loc'])) or 'the object'}: {each['msg']}" for each in problems[:5]]
    return "; ".join(words)


def secrets_of(spec: Mapping[str, Any]) -> list[str]:
    """Values of a job's environment: a service that refuses a spec may repeat what it was sent."""
    return list(spec.get("environment", {}).values())


def of_task(task: FacilityTask, operations: Mapping[str, V]) -> V:
    """What belongs to the operation of a task.

    Raises:
        UsageError: if it is none of these.
    """
    if task.operation not in operations:
        raise UsageError(f"{task.operation!r} is no operation on files that is waited for")
    return operations[task.operation]


def segment(text: str, what: str) -> str:
    """An opaque id as one segment of a path.

    Raises:
        UsageError: if it cannot be one: an empty id or a dot would ask for another object.
    """
    if text in {"", ".", ".."}:
        raise UsageError(f"{text!r} is not the id of a {what}")
    return quote(text, safe="", errors="replace")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Id = Annotated[str, StringConstraints(min_length=1)]
Size = Annotated[int, Field(ge=0)]
Mode = Annotated[int, Field(ge=0, lt=2**32)]  # what Python's stat module takes
# Since the epoch, within the years that a datetime has.
Seconds = Annotated[float, Field(ge=-62_135_596_800, lt=253_402_300_800, allow_inf_nan=False)]
Moment = Annotated[datetime, AfterValidator(_aware)]
