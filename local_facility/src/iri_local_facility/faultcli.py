"""``iri-local-facility fault``: orders faults at a facility that runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .settings import default_root

app = typer.Typer(no_args_is_help=True, help="Order faults at a running facility, list them, take them back.")

Root = Annotated[
    Path | None, typer.Option(help="Directory of the facility.", show_default="in your state directory")
]


@app.command()
def order(
    kind: Annotated[str, typer.Argument(help="What happens, such as lose_reply.")],
    facts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="As in operations=launchJob times=2."),
    ] = None,
    root: Root = None,
) -> None:
    """Order a fault and print its id."""
    body: dict[str, Any] = {"kind": kind}
    for fact in facts or []:
        name, separator, text = fact.partition("=")
        if not separator:
            raise typer.BadParameter(f"{fact} is not of the form NAME=VALUE")
        body[name] = text.split(",") if name == "operations" else _value(name, text)
    typer.echo(_ask(root, "POST", "", body)["id"])


@app.command("list")
def list_orders(root: Root = None) -> None:
    """Print all orders as JSON lines, with how often each has struck."""
    for fault in _ask(root, "GET", ""):
        typer.echo(json.dumps(fault))


@app.command()
def clear(
    fault_id: Annotated[str | None, typer.Argument(help="One order.", show_default="all")] = None,
    root: Root = None,
) -> None:
    """Take back one order, or all."""
    _ask(root, "DELETE", f"/{fault_id}" if fault_id else "")


def _value(name: str, text: str) -> Any:
    # Ids of jobs are numbers to look at, and text to the facility.
    if name in ("job", "user", "resource", "word", "code", "command", "node"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ask(root: Path | None, method: str, path: str, body: Any = None) -> Any:
    from .asking import control

    place = (root or default_root()).expanduser().resolve()
    try:
        url = (place / ".facility" / "url").read_text()
        return control(url, method, f"/faults{path}", body)
    except ValueError as refused:
        typer.echo(f"iri-local-facility: {refused}", err=True)
    except OSError:
        typer.echo(f"iri-local-facility: no facility runs in {place}; start one with 'serve'", err=True)
    sys.exit(1)
