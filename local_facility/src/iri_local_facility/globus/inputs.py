"""Whether the input of a run fits its flow's schema: the part of JSON Schema that is understood here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_UNDERSTOOD = {"type", "required", "properties", "additionalProperties", "items", "enum"}
_TOLD = {"title", "description", "default", "examples", "$schema", "format", "$comment"}


def unknown_words(schema: Any, where: str = "input_schema") -> Iterator[tuple[str, str]]:
    """What of a schema is not understood, and would be ignored."""
    if not isinstance(schema, dict):
        yield where, "is no schema"
        return
    for word in sorted(set(schema) - _UNDERSTOOD - _TOLD):
        yield f"{where}.{word}", "is not understood here"
    for name, inner in (schema.get("properties") or {}).items():
        yield from unknown_words(inner, f"{where}.properties.{name}")
    if "items" in schema:
        yield from unknown_words(schema["items"], f"{where}.items")


def misfits(value: Any, schema: dict[str, Any], where: str = "$") -> Iterator[tuple[str, str]]:
    """Where a value does not fit, and why."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield where, f"{value!r} is not of type {kind!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield where, f"{value!r} is not one of {schema['enum']!r}"
    properties: dict[str, Any] = schema.get("properties") or {}
    if isinstance(value, dict):
        for name in schema.get("required") or ():
            if name not in value:
                yield where, f"{name!r} is a required property"
        if schema.get("additionalProperties") is False:
            for name in sorted(set(value) - set(properties)):
                yield where, f"Additional properties are not allowed ({name!r} was unexpected)"
        for name in properties.keys() & value.keys():
            yield from misfits(value[name], properties[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            yield from misfits(each, schema["items"], f"{where}[{number}]")


def _is(value: Any, kind: str | list[str]) -> bool:
    kinds = [kind] if isinstance(kind, str) else kind
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES.get(each, ())) for each in kinds)
