"""How commands take their words: groups of options, and refusals that programs can read too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from typer.core import TyperCommand

from iri_common.cli.exits import Exit
from iri_common.cli.speak import Screen

T = TypeVar("T")


def spread(command: Callable[..., T]) -> Callable[..., T]:
    """The command with each parameter of a dataclass type in the shape of its fields, as typer reads them."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _parameters(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def gathered(**words: Any) -> T:
        for name, kind in groups.items():
            words[name] = kind(**{each.name: words.pop(each.name) for each in fields(kind)})
        return command(**words)

    gathered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gathered.__annotations__ = {each.name: each.annotation for each in parameters}
    return gathered


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(kind)
    ]


class ReadableCommand(TyperCommand):
    """A command whose refusal of its options is a document, too, where one was asked for."""

    def make_context(self, info_name: str | None, args: list[str], *others: Any, **words: Any) -> Any:
        """Read the words of the command line."""
        as_json = "--json" in args
        try:
            return super().make_context(info_name, args, *others, **words)
        except Exception as refusal:
            if as_json and getattr(refusal, "exit_code", None) == Exit.USAGE:
                message: str = getattr(refusal, "format_message", refusal.__str__)()
                error = {"kind": "UsageError", "message": message, "transient": False}
                Screen(as_json=True).document({"ok": False, "exit": int(Exit.USAGE), "error": error})
            raise
