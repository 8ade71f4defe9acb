"""What Airflow learns of this package without importing the rest of it."""

from __future__ import annotations

from typing import Any

NAME = "IRI Facility API"


def get_provider_info() -> dict[str, Any]:
    """The answer to Airflow's entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-iri",
        "name": NAME,
        "description": "Runs jobs at HPC facilities through the IRI Facility API.",
        "integrations": [{"integration-name": NAME, "tags": ["service"]}],
        "hooks": [_modules("hooks")],
        "operators": [_modules("operators", "arrays", "tending", "outlook", "paths", "files", "flows")],
        "sensors": [_modules("sensors")],
        "transfers": [
            {
                "source-integration-name": NAME,
                "target-integration-name": NAME,
                "python-module": "airflow_provider_iri.transfers",
            }
        ],
        "triggers": [
            _modules(
                "triggers",
                "globus_triggers",
                "file_triggers",
                "outage_triggers",
                "cancel_triggers",
                "watchers",
            )
        ],
        "notifications": ["airflow_provider_iri.notifier.IriNotifier"],
        "filesystems": ["airflow_provider_iri.filesystem"],
        "asset-uris": [
            {
                "schemes": ["iri"],
                "handler": "airflow_provider_iri.assets.normalized",
                "factory": "airflow_provider_iri.assets.iri_asset",
                "to_openlineage_converter": "airflow_provider_iri.assets.to_openlineage",
            }
        ],
        "extra-links": ["airflow_provider_iri.links.IriJobLink", "airflow_provider_iri.links.IriOutputLink"],
        "connection-types": [_connection_type()],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": NAME, "python-modules": [f"airflow_provider_iri.{each}" for each in names]}


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "iri",
        "hook-class-name": "airflow_provider_iri.hooks.IriHook",
        "hook-name": NAME,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port"],
            "relabeling": {
                "host": "Base URL",
                "login": "Client id or user",
                "password": "Token, secret, key or password",
            },
            "placeholders": {
                "host": "https://api.example.org/api/v2",
                "login": "not with a token",
                "password": "a bearer token, or what the credential says",
            },
        },
        "conn-fields": {
            "profile": _text(
                "Profile",
                "A profile of ~/.config/iri/facilities.toml or IRI_FACILITY_<NAME>_URL on the workers, the "
                "triggerer and the API server; the other fields override it.",
            ),
            "credential": _choice(
                "Credential",
                ("token", "client", "key", "person", "login", "exchange"),
                "What login and password are: nothing and a token (if empty); client: the id of an OAuth2 "
                "client and its secret (if empty, with a token endpoint); key: the id and the private key, "
                "as PEM or JWK; person: a user and the password; login: the application of a person's login "
                "and the refresh token, for workers that share one home; exchange: another's token, and the "
                "application if the endpoint wants one.",
            ),
            "token_url": _text("Token endpoint", "Of OAuth2; with a key NERSC's, if empty.", "url"),
            "client_id": _text("Client id of a person", "Which application asks for the person."),
            "scope": _text("Scope", "For the token endpoint, blank-separated, where it wants any."),
            "subject": _text(
                "Subject", "What is exchanged: jwt (if empty), id_token, access_token or a URN."
            ),
            "audience": _text("Audience", "Whom an exchanged token is for, where the endpoint asks."),
            # No switch: it shows the text "false", which a connection from a URI has, as on.
            "share": _text(
                "Share", "true: the processes of a worker use one token of the client, which is kept there."
            ),
            "resource": _text("Resource", "Name or id; where jobs go if the task names none."),
            "storage": _text("Storage", "Name or id of the resource whose files are meant."),
            "account": _text("Account", "Charged if the job names none."),
            "queue": _text("Queue", "Used if the job names none."),
            "directory": _text("Directory", "Where jobs work if they do not say; absolute."),
            "poll_seconds": {
                "label": "Seconds between polls",
                "description": "The least time between two looks at running jobs.",
                "schema": {"type": ["number", "null"], "minimum": 0.1},
            },
            "job_page": _text(
                "Page of a job",
                "Where a portal shows one: https://portal.example.org/jobs/{job}; also {resource}.",
                "url",
            ),
            "file_page": _text(
                "Page of a file",
                "Likewise: https://portal.example.org/files{path}; also {job} and {resource}.",
                "url",
            ),
            "ca_file": _text("CA file", "Certificate authorities in PEM, where the facility has its own."),
            "dialect": _choice(
                "API", ("iri", "superfacility", "firecrest", "slurm", "sense"), "iri, if nothing is chosen."
            ),
            "user": _text("User", "Whose jobs they are, where the API wants to be told: slurmrestd."),
            "site": _text("Site", "Whose oddities the API has, where its address does not tell."),
            "api_version": _text("API version", "Where it shall not be asked for."),
            "grant": _text(
                "Grant",
                'Limits of what it may be used for, as JSON: {"verbs": ["submit"], "nodes": 4}; those of a '
                "profile can only be narrowed.",
            ),
            "audit": _choice(
                "Audit",
                ("acts", "all", "off"),
                "What the workers write down of that; acts, if nothing is chosen.",
            ),
        },
    }


def _text(label: str, description: str, text_format: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if text_format:
        schema["format"] = text_format
    return {"label": label, "description": description, "schema": schema}


def _choice(label: str, values: tuple[str, ...], description: str) -> dict[str, Any]:
    """A list to choose from, or to leave alone; a value that is none of these stays until one is chosen."""
    field = _text(label, description)
    return {**field, "schema": {**field["schema"], "enum": list(values)}}
