"""The ``iri-local-facility`` command."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .settings import MIB, Settings, default_root

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A facility on this machine, for demos, tests and development. No production service.",
)

Root = Annotated[
    Path | None, typer.Option(help="Directory of the facility [default: in your state directory].")
]


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
    root: Root = None,
    name: Annotated[str, typer.Option(help="Name of the facility; ids derive from it.")] = "local",
    nodes: Annotated[int, typer.Option(min=1, help="Node slots of the cluster.")] = 4,
    default_duration: Annotated[
        int, typer.Option(min=1, help="Wall time in seconds of a job that asks for none.")
    ] = 600,
    kill_grace: Annotated[float, typer.Option(min=0, help="Seconds between SIGTERM and SIGKILL.")] = 2.0,
    submit_delay: Annotated[
        float, typer.Option(min=0, help="Seconds the scheduler takes to accept a job.")
    ] = 0,
    token_lifetime: Annotated[
        float, typer.Option(min=0, help="Lifetime in seconds of tokens from the token endpoint.")
    ] = 3600,
    size_limit: Annotated[
        int, typer.Option(min=1, help="Most bytes that upload, view and download move.")
    ] = 5 * MIB,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write how to reach the facility here, as JSON, once it is ready.")
    ] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="Stop when standard input ends, too.")
    ] = False,
) -> None:
    """Run a facility until Ctrl-C. Its running jobs end with it; its state is there again next time."""
    from .server import Listening, write_ready_file
    from .server import serve as run

    settings = Settings(
        root=(root or default_root()).expanduser().resolve(),
        name=name,
        nodes=nodes,
        default_duration=default_duration,
        kill_grace=kill_grace,
        submit_delay=submit_delay,
        token_lifetime=token_lifetime,
        size_limit=size_limit,
    )

    def announce(listening: Listening) -> None:
        if ready_file is None:
            typer.echo(_for_people(listening))
        else:
            write_ready_file(ready_file, asdict(listening))

    try:
        run(settings, port, announce, until_stdin_closes=until_stdin_closes)
    except OSError as problem:
        typer.echo(f"iri-local-facility: cannot serve on port {port}: {problem}", err=True)
        sys.exit(1)
    if ready_file is None:
        typer.echo("Stopped; no job was left running.")


@app.command()
def token(
    user: Annotated[str, typer.Option(help="Whom the token is for.")] = "alice",
    lifetime: Annotated[float | None, typer.Option(help="Seconds it is good for [default: no end].")] = None,
    root: Root = None,
) -> None:
    """Print a new bearer token. Works while the facility runs and while it does not."""
    from .errors import Missing
    from .testing import issue_token

    place = (root or default_root()).expanduser().resolve()
    if not (place / ".facility").is_dir():
        typer.echo(f"iri-local-facility: there is no facility in {place}; start one with 'serve'", err=True)
        sys.exit(1)
    try:
        typer.echo(issue_token(place, user, lifetime))
    except Missing as unknown:
        typer.echo(f"iri-local-facility: {unknown}", err=True)
        sys.exit(1)


def _for_people(listening: object) -> str:
    facts = asdict(listening)  # type: ignore[call-overload]
    return """\
A local facility is up. It is for demos, tests and development only: whoever has a
token runs programs on this machine as you. Ctrl-C stops it and all its jobs.

  API       {base_url}   (OpenAPI document: {base_url}/openapi.json)
  files     {root}
  user      {user}
  log       curl {url}/_facility/requests

A profile to paste:

  [local]
  url = "{base_url}"
  token = "{token}"

or, for tokens that expire and are renewed (OAuth 2 client credentials):

  token_url = "{token_url}"
  client_id = "{client_id}"
  client_secret = "{client_secret}"
""".format(**facts)


if __name__ == "__main__":
    app()
