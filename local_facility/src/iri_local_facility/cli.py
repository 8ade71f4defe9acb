"""The ``iri-local-facility`` command."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import faultcli
from .settings import FEATURES, MIB, SLURM_VERSIONS, Settings, default_root

if TYPE_CHECKING:
    from .server import Listening

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="A facility on this machine, for demos, tests and development. No production service.",
)

Root = Annotated[
    Path | None, typer.Option(help="Directory of the facility.", show_default="in your state directory")
]


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
    root: Root = None,
    name: Annotated[
        str, typer.Option(help="Name of the facility (letters, digits, dashes); ids derive from it.")
    ] = "local",
    nodes: Annotated[int, typer.Option(min=1, help="Node slots of the cluster.")] = 4,
    default_duration: Annotated[
        int, typer.Option(min=1, help="Wall time in seconds of a job that asks for none.")
    ] = 600,
    kill_grace: Annotated[float, typer.Option(min=0, help="Seconds between SIGTERM and SIGKILL.")] = 2.0,
    submit_delay: Annotated[
        float, typer.Option(min=0, help="Seconds the scheduler takes to accept a job.")
    ] = 0,
    key_lock: Annotated[
        float, typer.Option(min=0, help="Seconds that the key of a request that died is under way.")
    ] = 60,
    token_lifetime: Annotated[
        float, typer.Option(min=0, help="Lifetime in seconds of tokens from the token endpoint.")
    ] = 3600,
    size_limit: Annotated[
        int, typer.Option(min=1, help="Most bytes that upload, view and download move.")
    ] = 5 * MIB,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out a file operation, filesystem (all), stdout_path, output_paths, slurmdb."
        ),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Serve the IRI API as alcf, nersc, olcf or slac does.")
    ] = None,
    s3: Annotated[
        str | None, typer.Option(metavar="URL,BUCKET,REGION", help="Announce this object store.")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIRECTORY", help="Serve it as a Globus collection.")
    ] = None,
    collection_root: Annotated[
        Path | None, typer.Option(help="Directory that the facility's own collection shows as /.")
    ] = None,
    data_access: Annotated[
        bool, typer.Option("--data-access", help="Its collection asks for a consent.")
    ] = False,
    high_assurance: Annotated[
        bool, typer.Option("--high-assurance", help="Its collection asks for a login.")
    ] = False,
    rotate_refresh_tokens: Annotated[
        bool, typer.Option("--rotate-refresh-tokens", help="Globus refresh tokens are good once.")
    ] = False,
    firecrest_scheduler: Annotated[
        str, typer.Option(help="Whose words FirecREST passes on: slurm or pbs.")
    ] = "slurm",
    firecrest_min_token_ttl: Annotated[
        float, typer.Option(min=0, help="Seconds that a token must have left for FirecREST.")
    ] = 30,
    firecrest_transfer_poll: Annotated[
        float, typer.Option(min=0.1, help="Seconds between an upload job's looks at the object store.")
    ] = 60,
    firecrest_part_size: Annotated[
        int, typer.Option(min=1, help="Bytes of each part of a file that passes through the store.")
    ] = 64 * MIB,
    firecrest_account: Annotated[
        bool, typer.Option("--firecrest-account", help="Its transfers must say who pays.")
    ] = False,
    superfacility_delay: Annotated[
        float, typer.Option(min=0, help="Seconds before a Superfacility task is worked on.")
    ] = 0.05,
    superfacility_retention: Annotated[
        float, typer.Option(min=0, help="Seconds that such a task is known after its end.")
    ] = 600,
    superfacility_cache: Annotated[
        float, typer.Option(min=0, help="Seconds that its cached picture of the queue may be old.")
    ] = 5,
    sense_step: Annotated[
        float, typer.Option(min=0, help="Seconds that each phase of a network path takes.")
    ] = 0.5,
    stream_setup: Annotated[
        float, typer.Option(min=0, help="Seconds until a cluster of message brokers can be used.")
    ] = 0,
    slurm_version: Annotated[
        list[int] | None,
        typer.Option(help="A version of Slurm's REST API that there is.", show_default="38, 40 … 44"),
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option(metavar="SLURM.CONF", help="Let this Slurm run the jobs.", exists=True)
    ] = None,
    slurm_min_job_age: Annotated[
        float, typer.Option(min=0, help="Seconds that slurmctld remembers a job after its end.")
    ] = 300,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write how to reach the facility here, as JSON, once it is ready.")
    ] = None,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="Stop when standard input ends, too.")
    ] = False,
) -> None:
    """Run a facility until Ctrl-C. Its running jobs end with it; its state is there again next time."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise typer.BadParameter("letters, digits and dashes only", param_hint="--name")
    if unknown := set(without or ()) - FEATURES:
        raise typer.BadParameter(f"no such feature: {', '.join(unknown)}", param_hint="--without")
    if unknown_versions := set(slurm_version or ()) - set(SLURM_VERSIONS):
        raise typer.BadParameter(f"no such version: {unknown_versions}", param_hint="--slurm-version")
    if firecrest_scheduler not in ("slurm", "pbs"):
        raise typer.BadParameter("slurm or pbs", param_hint="--firecrest-scheduler")
    from .iri_sites import SITES

    if site is not None and site not in SITES:
        raise typer.BadParameter(f"one of {', '.join(SITES)}", param_hint="--site")
    from .server import AlreadyServed, write_private
    from .server import serve as run

    settings = Settings(
        root=(root or default_root()).expanduser().resolve(),
        name=name,
        nodes=nodes,
        default_duration=default_duration,
        kill_grace=kill_grace,
        submit_delay=submit_delay,
        key_lock=key_lock,
        token_lifetime=token_lifetime,
        size_limit=size_limit,
        without=frozenset(without or ()) | (SITES[site].without if site else frozenset[str]()),
        site=site,
        s3=_triple(s3),
        collections=dict(_named(text) for text in collection or ()),
        collection_root=collection_root and collection_root.resolve(),
        data_access=data_access,
        high_assurance=high_assurance,
        rotate_refresh_tokens=rotate_refresh_tokens,
        firecrest_scheduler=firecrest_scheduler,
        firecrest_min_token_ttl=firecrest_min_token_ttl,
        firecrest_transfer_poll=firecrest_transfer_poll,
        firecrest_part_size=firecrest_part_size,
        firecrest_account=firecrest_account,
        superfacility_delay=superfacility_delay,
        superfacility_retention=superfacility_retention,
        superfacility_cache=superfacility_cache,
        sense_step=sense_step,
        stream_setup=stream_setup,
        slurm_versions=tuple(sorted(slurm_version or SLURM_VERSIONS)),
        slurm_min_job_age=slurm_min_job_age,
        slurm=slurm and slurm.resolve(),
    )

    def announce(listening: Listening) -> None:
        if ready_file is None:
            parts = (_for_people, _firecrest, _superfacility, _slurm, _sense)
            typer.echo("".join(part(listening) for part in parts))
        else:
            write_private(ready_file, json.dumps(asdict(listening), indent=2))

    try:
        run(settings, port, announce, until_stdin_closes=until_stdin_closes)
    except OSError as problem:
        typer.echo(f"iri-local-facility: cannot serve on port {port}: {problem}", err=True)
        sys.exit(1)
    except AlreadyServed as problem:
        typer.echo(f"iri-local-facility: {problem}", err=True)
        sys.exit(1)
    if ready_file is None:
        typer.echo("Stopped; no job was left running.")


@app.command()
def token(
    user: Annotated[str, typer.Option(help="Whom the token is for.")] = "alice",
    lifetime: Annotated[
        float | None, typer.Option(help="Seconds it is good for.", show_default="no end")
    ] = None,
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


app.add_typer(faultcli.app, name="fault")


def _triple(text: str | None) -> tuple[str, str, str] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3:
        raise typer.BadParameter("URL,BUCKET,REGION", param_hint="--s3")
    return parts[0], parts[1], parts[2]


def _named(text: str) -> tuple[str, Path]:
    name, separator, directory = text.partition("=")
    if not separator or not Path(directory).is_dir():
        raise typer.BadParameter(f"{text}: NAME=DIRECTORY", param_hint="--collection")
    return name, Path(directory).resolve()


def _for_people(listening: Listening) -> str:
    return f"""\
A local facility is up. It is for demos, tests and development only: whoever has a
token runs programs on this machine as you. Ctrl-C stops it and all its jobs.

  API        {listening.base_url}
  OpenAPI    {listening.base_url}/openapi.json
  token      {listening.token}
  user       {listening.user}
  files      {listening.root}
  requests   curl {listening.url}/_facility/requests

A profile to paste into ~/.config/iri/facilities.toml:

  [{listening.name}]
  url = "{listening.base_url}"
  token = {{ file = {json.dumps(listening.token_file)} }}
  resource = "cluster"
  storage = "scratch"
  directory = {json.dumps(str(Path(listening.root) / "scratch" / listening.user))}

For tokens that expire and are renewed (OAuth 2 client credentials), in place of token:

  [{listening.name}.client]
  id = "{listening.client_id}"
  token_url = "{listening.token_url}"
  secret = {{ file = {json.dumps(listening.client_secret_file)} }}

For its files through its Globus, which the SDK finds with these in the environment:

  export GLOBUS_SDK_SERVICE_URL_AUTH={listening.url}/globus/auth/
  export GLOBUS_SDK_SERVICE_URL_TRANSFER={listening.url}/globus/transfer/
  export GLOBUS_SDK_SERVICE_URL_FLOWS={listening.url}/globus/flows/
  export GLOBUS_SDK_SERVICE_URL_COMPUTE={listening.url}/globus/compute/

  [{listening.name}.globus]
  collection = "{listening.collection}"

  [{listening.name}.globus.client]
  id = "{listening.globus_client_id}"
  secret = {{ file = {json.dumps(listening.globus_client_secret_file)} }}
"""


def _firecrest(listening: Listening) -> str:
    return f"""
For FirecREST v2 (CSCS), whose system here is called cluster:

  [{listening.name}-firecrest]
  dialect = "firecrest"
  url = "{listening.url}/firecrest"
  resource = "cluster"

  [{listening.name}-firecrest.client]
  id = "{listening.client_id}"
  token_url = "{listening.token_url}"
  secret = {{ file = {json.dumps(listening.client_secret_file)} }}

Its own command finds it with these in the environment:

  export FIRECREST_URL={listening.url}/firecrest
  export AUTH_TOKEN_URL={listening.token_url}
  export FIRECREST_CLIENT_ID={listening.client_id}
  export FIRECREST_CLIENT_SECRET=$(cat {shlex.quote(listening.client_secret_file)})
"""


def _superfacility(listening: Listening) -> str:
    from .superfacility import API, TOKEN
    from .superfacility.clients import NoCrypto
    from .superfacility.testing import issue_key

    try:
        key = issue_key(Path(listening.root), listening.user)
    except NoCrypto as missing:
        return f"\nFor the Superfacility API, {missing}\n"
    return f"""
For the Superfacility API (NERSC), whose machine here is called perlmutter:

  [{listening.name}-superfacility]
  dialect = "superfacility"
  url = "{listening.url}{API}"
  resource = "perlmutter"

  [{listening.name}-superfacility.client]
  token_url = "{listening.url}{TOKEN}"
  key = {{ file = {json.dumps(str(key))} }}
"""


def _slurm(listening: Listening) -> str:
    from .s3m.testing import issue_s3m_token
    from .slurm.testing import issue_slurm_token

    root = Path(listening.root)
    return f"""
For slurmrestd (v0.0.38, v0.0.40 ... v0.0.44):

  curl -H "X-SLURM-USER-NAME: {listening.user}" \\
       -H "X-SLURM-USER-TOKEN: {issue_slurm_token(root, listening.user)}" \\
       {listening.url}/slurm/v0.0.44/ping

For S3M (OLCF):

  curl -H "Authorization: {issue_s3m_token(root, listening.user)}" \\
       {listening.url}/slurm/open/v0.0.44/cluster/jobs
"""


def _sense(listening: Listening) -> str:
    from .sense import API, CLIENT_ID, TOKEN
    from .sense.testing import password_file

    return f"""
For SENSE (ESnet), which leases paths through a small network:

  [{listening.name}-sense]
  dialect = "sense"
  url = "{listening.url}{API}"

  [{listening.name}-sense.client]
  id = "{CLIENT_ID}"
  token_url = "{listening.url}{TOKEN}"
  secret = {{ file = {json.dumps(listening.client_secret_file)} }}
  user = "{listening.user}"
  password = {{ file = {json.dumps(str(password_file(Path(listening.root), listening.user)))} }}
"""


if __name__ == "__main__":
    app()
