"""From an Airflow connection to the core's Facility."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iri_common import Facility, ProfileError, UsageError, client_tokens

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from iri_common import TokenSource

_API = ("dialect", "user", "site", "api_version")
_WORDS = ("resource", "storage", "account", "queue", "directory", "ca_file", "grant", "audit", *_API)
_CLIENT = ("token_url", "scope", "subject", "audience")
_PAGES = ("job_page", "file_page")
_NO_TEXTS = ("grant", "share", "poll_seconds")
KNOWN_EXTRAS = (*_WORDS, "profile", "credential", "client_id", *_CLIENT, "share", "poll_seconds", *_PAGES)

# What login and password are, by the kind of credential.
_CREDENTIALS = {
    **{"client": ("id", "secret"), "key": ("id", "key"), "person": ("user", "password")},
    **{"login": ("id", "refresh"), "exchange": ("id", "exchange")},
}


def facility_of(connection: Connection) -> Facility:
    """The door that a connection describes; nothing is sent, secrets are read here and now.

    Raises:
        UsageError: naming the connection and the field that makes no sense.
        AuthError: if the password cannot be a token.
    """
    extra = _extra(connection)
    profile = extra.pop("profile", None)
    settings: dict[str, Any] = {name: extra[name] for name in _WORDS if name in extra}
    if "poll_seconds" in extra:
        settings["poll_seconds"] = _seconds(connection, extra["poll_seconds"])
    if connection.host:
        settings["url"] = _url(connection)
    if (token := _token(connection, extra)) is not None:
        settings["token"] = token
    try:
        if profile:
            return Facility.from_profile(profile, **settings)
        if "url" not in settings:
            raise UsageError("it needs a base URL (host), or the name of a profile in its extras")
        return Facility(settings.pop("url"), name=connection.conn_id, **settings)
    except UsageError as error:
        kind = ProfileError if isinstance(error, ProfileError) else UsageError
        raise kind(f"the connection {connection.conn_id!r} cannot be used: {error}") from None


def pages_of(connection: Connection) -> tuple[str | None, str | None]:
    """Where a portal shows a job, and a file, as the connection says."""
    extra = _extra(connection)
    return extra.get("job_page"), extra.get("file_page")


def _extra(connection: Connection) -> dict[str, Any]:
    """The extras that say something; a form sends its empty fields as "" or null, and blanks as pasted."""
    # Connection.extra_dejson would talk to Airflow's supervisor to mask what is in it, which blocks the
    # event loop of a triggerer. There is no secret among our extras: token and secret are the password.
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise UsageError(f"the extras of the connection {connection.conn_id!r} are no JSON object")
    if unknown := sorted(set(extra) - set(KNOWN_EXTRAS)):
        raise UsageError(
            f"the connection {connection.conn_id!r} has unknown extras: {', '.join(unknown)} "
            f"(known: {', '.join(KNOWN_EXTRAS)})"
        )
    extra = {name: _text(connection, name, value) for name, value in extra.items()}
    for name in _PAGES:
        if not str(extra.get(name) or "https://").startswith(("https://", "http://")):
            raise UsageError(f"the connection {connection.conn_id!r}: {name} is a URL, not {extra[name]!r}")
    return {name: value for name, value in extra.items() if value not in ("", None)}


def _text(connection: Connection, name: str, value: object) -> object:
    """The value without blanks around it; an account that is written as a number is a name all the same."""
    if isinstance(value, str):
        return value.strip()
    if value is None or name in _NO_TEXTS:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"the connection {connection.conn_id!r}: {name} is a text, not {value!r}")
    return str(value)


def _url(connection: Connection) -> str:
    # As a URI (AIRFLOW_CONN_…) a connection splits the address: iri://https://host:8000/api/v2 arrives as
    # host "https://host", port 8000, schema "api/v2".
    host = (connection.host or "").strip().rstrip("/")
    url = host if "://" in host else f"https://{host}"
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if connection.port and ":" not in place.rpartition("]")[2]:
        url = f"{scheme}://{place}:{connection.port}{slash}{path}"
    return f"{url}/{connection.schema.strip('/')}" if connection.schema else url


def _token(connection: Connection, extra: dict[str, Any]) -> str | TokenSource | None:
    kind = extra.get("credential") or ("client" if "token_url" in extra else "token")
    if kind == "token":
        if connection.login and connection.password:
            # Whoever gives both means something else: it is not to be sent as a token.
            raise UsageError(
                f"the connection {connection.conn_id!r}: a token has no login; if the password is none, "
                f"credential says what the two are: {', '.join(_CREDENTIALS)}"
            )
        return connection.password or None
    if kind not in _CREDENTIALS:
        raise UsageError(
            f"the connection {connection.conn_id!r}: credential is token, {', '.join(_CREDENTIALS)} "
            f"or left out, not {kind!r}"
        )
    login, password = _CREDENTIALS[kind]
    words: dict[str, Any] = {login: connection.login or "", password: connection.password or ""}
    words |= {name: extra[name] for name in _CLIENT if name in extra}
    if kind == "person":
        words["id"] = extra.get("client_id", "")
    words["share"] = _flag(connection, "share", extra.get("share", False))
    try:
        return client_tokens(f"the connection {connection.conn_id!r}", **words)
    except UsageError as error:
        raise UsageError(f"{error} ({login} is the login, {password} the password)") from None


def _flag(connection: Connection, name: str, value: object) -> bool:
    told = str(value).lower()  # a URI's extras are all text
    if told not in {"true", "false"}:
        raise UsageError(f"the connection {connection.conn_id!r}: {name} is true or false, not {value!r}")
    return told == "true"


def _seconds(connection: Connection, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # a URI's extras are all text
    except (TypeError, ValueError):
        raise UsageError(
            f"the connection {connection.conn_id!r}: poll_seconds is a number of seconds, not {value!r}"
        ) from None
