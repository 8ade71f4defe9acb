"""The private key of an API client, where NERSC's own client and others keep it: ``~/.superfacility``.

What can be there: ``<any>.pem`` with the client's id in its first line, ``<any>.json`` with ``client_id`` and
``secret``, which is a JWK, or a bare key ``priv_key.pem`` or ``priv_key.jwk`` beside ``clientid.txt``. Both
of these together are one key, which Iris hands out in two forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from iri_common.auth.secret import SecretReader, at_home, private_text, secret_from_env
from iri_common.model.errors import AuthError

_ID_FILE = "clientid.txt"
_KINDS = (".pem", ".json", ".jwk")
_ID = re.compile(r"[!-~]{1,256}")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A client and what it signs with.

    Attributes:
        client_id: As the facility gave it.
        secret: The private key, as PEM or as a JWK; never shown.
    """

    client_id: str
    secret: str | dict[str, Any] = field(repr=False)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a private key is not pickled: hand over the name of its file instead")


@dataclass(frozen=True, slots=True)
class KeyReader:
    """A key read anew each time one is needed: a client that died is replaced by replacing its file.

    Attributes:
        read: Gives the key; raises AuthError with what to do when there is none. It blocks.
        origin: What it reads.
        mendable: Somebody outside of this process can put another one there.
        given: It was handed over, and reading again gives the same.
    """

    read: Callable[[], ClientKey]
    origin: str
    mendable: bool = True
    given: bool = False


def key_from(secret: SecretReader, client_id: str | None = None) -> KeyReader:
    """The key that is kept there, in one of the words that its file could have."""

    def read() -> ClientKey:
        return _understood(secret.read(), secret.origin, lambda: client_id)

    return KeyReader(read, secret.origin, secret.mendable, secret.given)


def key_from_env(variable: str, client_id: str | None = None) -> KeyReader:
    """The key in an environment variable."""
    return key_from(secret_from_env(variable, "key"), client_id)


def key_from_file(path: str | Path, client_id: str | None = None) -> KeyReader:
    """The key in a file, or in the only such file of a folder, which nobody else may read (0600 or 0400)."""
    place = at_home(path, "key")

    def read() -> ClientKey:
        file = _only_key(place) if place.is_dir() else place
        text = private_text(file, "key")
        return _understood(text, f"the key file {file}", lambda: client_id or _id_beside(file))

    return KeyReader(read, f"the key {place}")


def _only_key(folder: Path) -> Path:
    try:
        keys = sorted(each for each in folder.iterdir() if each.suffix in _KINDS)
    except OSError as error:
        raise AuthError(f"the folder {folder} cannot be read: {error.strerror}") from None
    keys = [each for each in keys if each.suffix != ".jwk" or each.with_suffix(".pem") not in keys]
    if len(keys) != 1:
        there = ", ".join(each.name for each in keys) or "none"
        raise AuthError(f"{folder} must hold one key, or name its file; there: {there}")
    return keys[0]


def _id_beside(file: Path) -> str | None:
    try:
        return (file.parent / _ID_FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _understood(text: str, origin: str, elsewhere: Callable[[], str | None]) -> ClientKey:
    """The key in a text; the client's id is in it, or elsewhere."""
    if (fields := _object(text)) is not None:
        client_id, secret = fields.get("client_id") or "", _secret_of(fields)
    elif found := _PEM.search(text):
        client_id, secret = text[: found.start()].strip(), found.group()
    else:
        client_id, secret = "", None
    if secret is None:
        raise AuthError(
            f"{origin} holds no private key, neither as PEM nor as a JWK; take the one that the facility "
            "showed when the client was made, or make a new client"
        )
    client_id = str(client_id) or elsewhere() or ""
    if not _ID.fullmatch(client_id):
        raise AuthError(
            f"{origin} does not tell the client's id: put it in the first line, before the key, "
            f"or into {_ID_FILE} beside the file"
        )
    return ClientKey(client_id, secret)


def _secret_of(fields: dict[str, Any]) -> str | dict[str, Any] | None:
    secret: Any = fields if "kty" in fields else fields.get("secret")
    if isinstance(secret, str):
        found = _PEM.search(secret)
        return found.group() if found else _object(secret)
    return cast("dict[str, Any]", secret) if isinstance(secret, dict) else None


def _object(text: str) -> dict[str, Any] | None:
    """A JSON object; None for anything else, without the parser's error, which refers to all of the text."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
