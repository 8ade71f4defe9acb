"""What a flow may be made of, and how its states read and write the data of a run."""

from __future__ import annotations

import copy
import re
from typing import Any
from urllib.parse import urlsplit

_SHARED = {"Type", "Comment", "Next", "End"}
_FIELDS = {
    "Pass": {"Parameters", "ResultPath"},
    "Wait": {"Seconds", "SecondsPath"},
    "Action": {
        "ActionUrl",
        "ActionScope",
        "Parameters",
        "ResultPath",
        "WaitTime",
        "ExceptionOnActionFailure",
    },
    "Fail": {"Cause", "Error"},
    "Succeed": set[str](),
}
_LAST = {"Fail", "Succeed"}
_PATH = re.compile(r"\$((?:\.[A-Za-z_][\w-]*|\[\d+\]|\['[^']+'\])*)")
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]")
# The action provider of Transfer under its present address and its old one, and that of Compute.
_PROVIDERS = {
    "transfer.actions.globus.org/transfer": "transfer",
    "actions.globus.org/transfer/transfer": "transfer",
    "compute.actions.globus.org/v3": "compute",
}


class BadPath(ValueError):
    """A path that is none, or leads nowhere."""


def problems(definition: Any) -> list[tuple[str, str]]:
    """What is wrong with a definition, each with the place where."""
    if not isinstance(definition, dict) or not isinstance(definition.get("States"), dict):
        return [("definition", "needs StartAt and States")]
    states: dict[str, Any] = definition["States"]
    found = [("definition.StartAt", "names no state")] if definition.get("StartAt") not in states else []
    for name, state in states.items():
        found += [(f"definition.States.{name}", what) for what in _wrong(state, states)]
    return found


def _wrong(state: Any, states: dict[str, Any]) -> list[str]:
    if not isinstance(state, dict) or state.get("Type") not in _FIELDS:
        # What this face would have to ignore, it refuses.
        return [f"Type is one of {', '.join(_FIELDS)} at this facility"]
    kind = state["Type"]
    found = [f"{name} is not known here" for name in sorted(set(state) - _SHARED - _FIELDS[kind])]
    if kind not in _LAST and state.get("Next") not in states and state.get("End") is not True:
        found.append("needs Next, the name of a state, or End")
    if kind == "Wait" and not {"Seconds", "SecondsPath"} & set(state):
        found.append("needs Seconds or SecondsPath")
    if kind == "Action" and provider_of(str(state.get("ActionUrl"))) is None:
        found.append(
            "ActionUrl is no action of this facility; https://transfer.actions.globus.org/transfer and "
            "https://compute.actions.globus.org/v3 are"
        )
    return found


def provider_of(url: str) -> str | None:
    """Whose an action provider's URL is: ``transfer`` or ``compute``."""
    parts = urlsplit(url)
    return _PROVIDERS.get(f"{parts.netloc}{parts.path}".rstrip("/"))


def read(context: Any, path: str) -> Any:
    """What a path such as ``$.one[0].two`` leads to.

    Raises:
        BadPath: Nowhere.
    """
    here = context
    for step in _steps(path):
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            raise BadPath(f"{path} leads nowhere") from None
    return here


def written(context: Any, path: str | None, value: Any) -> Any:
    """The data after a state has put its result at its ``ResultPath``; without one it is the result.

    Raises:
        BadPath: There is no such place.
    """
    steps = _steps(path or "$")
    if not steps:
        return value
    whole = here = copy.deepcopy(context)
    try:
        for step in steps[:-1]:
            here = here.setdefault(step, {})
        here[steps[-1]] = value
    except (AttributeError, IndexError, TypeError):
        raise BadPath(f"{path} is no place for a result") from None
    return whole


def rendered(template: Any, context: Any) -> Any:
    """Parameters with what their paths lead to: ``{"a.$": "$.b"}`` takes ``a`` from ``$.b``.

    Raises:
        BadPath: One leads nowhere.
    """
    match template:
        case dict():
            return {
                name.removesuffix(".$"): read(context, value)
                if name.endswith(".$")
                else rendered(value, context)
                for name, value in template.items()
            }
        case list():
            return [rendered(each, context) for each in template]
        case _:
            return template


def transfer_document(parameters: dict[str, Any], submission: str, label: str) -> dict[str, Any]:
    """What the action provider of Transfer asks of it; both of its vocabularies are understood."""
    kept = ("verify_checksum", "sync_level", "encrypt_data", "preserve_timestamp", "deadline")
    return {
        "DATA_TYPE": "transfer",
        "submission_id": submission,
        "label": str(parameters.get("label") or label)[:128].strip(),
        "source_endpoint": parameters.get("source_endpoint") or parameters.get("source_endpoint_id"),
        "destination_endpoint": parameters.get("destination_endpoint")
        or parameters.get("destination_endpoint_id"),
        "DATA": parameters.get("DATA") or parameters.get("transfer_items"),
        **{name: parameters[name] for name in kept if name in parameters},
    }


def _steps(path: Any) -> list[str | int]:
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise BadPath(f"{path} is no path that is understood here")
    return [int(number) if number else name or quoted for name, number, quoted in _STEP.findall(match[1])]
