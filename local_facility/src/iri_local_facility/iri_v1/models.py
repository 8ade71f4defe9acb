"""The objects that v1 answers with: those of v2 without links and attributes, and with words for URNs."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model

from iri_local_facility.iri_v2 import models as v2

ResourceType = Literal["website", "service", "compute", "system", "storage", "network", "unknown"]
Unit = Literal["node_hours", "bytes", "inodes"]


def _type_word(urn: str) -> str:
    return next((part for part in urn.split(":") if part in get_args(ResourceType)), "unknown")


def _unit_word(urn: str) -> str:
    return urn.rpartition(":")[2].replace("-", "_")


_TypeWord = Annotated[ResourceType, BeforeValidator(_type_word)]
_UnitWord = Annotated[Unit, BeforeValidator(_unit_word)]
_WITHOUT = {"links", "attributes"}


@functools.cache
def answer(model: type[BaseModel]) -> type[BaseModel]:
    """What an object of v2 is in v1; what it has no field for is left out of the answer."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in model.model_fields.items() if name not in _WITHOUT
    }
    if model is v2.Resource:
        fields["resource_type"] = (_TypeWord, ...)
    elif model is v2.Capability:
        fields["units"] = (list[_UnitWord], ...)
    elif model is v2.AllocationEntry:
        fields["unit"] = (_UnitWord, ...)
    elif model in (v2.ProjectAllocation, v2.UserAllocation):
        fields["entries"] = (list[answer(v2.AllocationEntry)], ...)
    return create_model(
        model.__name__, __doc__=model.__doc__, __config__=ConfigDict(extra="ignore"), **fields
    )
