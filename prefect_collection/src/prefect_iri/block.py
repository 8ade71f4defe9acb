"""The block ``IriFacility``: one door to a facility, with its secret, kept by Prefect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import CredentialsBlock
from pydantic import ConfigDict, Field, HttpUrl, SecretStr, model_validator

# The names below load the core's upper floors when they are first used: Prefect imports this module
# wherever it loads collections.
import iri_common
from iri_common import UsageError

if TYPE_CHECKING:
    from iri_common import Facility, TokenSource

# What Prefect itself puts beside the fields when it stores or moves a block.
_PREFECTS_OWN = {"block_type_slug", "_block_document_id", "_block_document_name", "_is_anonymous"}
_API = ("dialect", "user", "site", "api_version")
_LIMITS = ("grant", "audit")
_DEFAULTS = (
    *("resource", "storage", "account", "queue", "directory", "poll_seconds", "ca_file"),
    *(*_API, *_LIMITS),
)
# Fields of a client, and what they are called there.
_CLIENT = {
    **{"client_id": "id", "token_url": "token_url", "scope": "scope", "username": "user"},
    **{"subject_type": "subject", "audience": "audience", "share": "share"},
}
_SECRETS = {
    **{"client_secret": "secret", "client_key": "key", "password": "password"},
    **{"refresh_token": "refresh", "subject_token": "exchange"},
}


class IriFacility(CredentialsBlock):
    """A door to a computing facility that speaks the IRI Facility API, or another one that is named.

    Either `url`, with a `token` or a client that fetches tokens by itself; or the name of a `profile` that
    every machine running the tasks has. A client is `client_id`, `client_secret` and `token_url`; or a
    `client_key`, such as those of NERSC's Superfacility API; or `client_id`, `token_url`, and `username` and
    `password` of a person or the `refresh_token` of a login; or `token_url` and a `subject_token` that is
    exchanged. The other fields are defaults for jobs and files.

    The refresh tokens that come after the first one are kept on the machine where tasks run: one login is for
    the machines that share a home, each of the others needs a block of its own.

    Example:
        Load a saved block and run a job:

        ```python
        from prefect import flow
        from prefect_iri import IriFacility, run_job

        @flow
        def hello():
            facility = IriFacility.load("BLOCK_NAME")
            return run_job(facility, {"executable": "/bin/hostname"})
        ```
    """

    _block_type_name = "IRI Facility"
    _block_type_slug = "iri-facility"  # for ever: another slug would orphan every saved block
    _description = "A door to an HPC facility that speaks the IRI Facility API or another one."
    _documentation_url = HttpUrl("https://github.com/doe-iri/iri-facility-api-docs")
    # The icon of Prefect's own Webhook block: whoever sees Prefect's icons sees this one.
    _logo_url = HttpUrl(
        "https://cdn.sanity.io/images/3ugk85nk/production/c7247cb359eb6cf276734d4b1fbf00fb8930e89e-250x250.png"
    )

    # Prefect's base class takes unknown fields in silence, and pydantic repeats the input in its errors:
    # a misspelt `token` would be ignored first and printed next.
    model_config = ConfigDict(hide_input_in_errors=True)

    # The order is part of the schema's checksum: append only.
    url: str | None = Field(
        default=None,
        title="URL",
        description="Base URL up to and including the version, such as https://host/api/v2.",
    )
    token: SecretStr | None = Field(default=None, description="Bearer token that somebody got for you.")
    client_id: str | None = Field(
        default=None, title="Client ID", description="OAuth2 client that fetches tokens by itself."
    )
    client_secret: SecretStr | None = Field(default=None, description="Secret of that client.")
    token_url: str | None = Field(
        default=None, title="Token URL", description="Token endpoint that the client asks."
    )
    profile: str | None = Field(
        default=None, description="Profile to use in place of a URL; read where the tasks run."
    )
    resource: str | None = Field(default=None, description="Name or id of the resource that jobs go to.")
    storage: str | None = Field(default=None, description="Name or id of the resource whose files are meant.")
    account: str | None = Field(default=None, description="Account that jobs are charged to.")
    queue: str | None = Field(default=None, description="Queue that jobs wait in.")
    directory: str | None = Field(default=None, description="Directory at the facility that jobs work in.")
    poll_seconds: float | None = Field(
        default=None, description="Seconds between two looks at the jobs, at the least."
    )
    ca_file: str | None = Field(
        default=None, title="CA file", description="Certificate authorities to trust, a PEM file."
    )
    dialect: str | None = Field(
        default=None,
        title="API",
        description="Which API the URL speaks: iri if empty, superfacility, firecrest, slurm.",
    )
    user: str | None = Field(
        default=None, description="Whose jobs they are, where the API wants to be told: slurmrestd."
    )
    site: str | None = Field(
        default=None, description="Whose oddities the API has, where its address does not tell."
    )
    api_version: str | None = Field(
        default=None, title="API version", description="Where it shall not be asked for."
    )
    client_key: SecretStr | None = Field(
        default=None, description="Private key of the client, as PEM or JWK, in place of a secret."
    )
    username: str | None = Field(
        default=None, description="Person for whom the client asks, where the endpoint allows it."
    )
    password: SecretStr | None = Field(default=None, description="Password of that person.")
    scope: str | None = Field(default=None, description="For the token endpoint, where it wants any.")
    grant: dict[str, Any] | None = Field(
        default=None,
        description="Limits of what it may be used for, such as {'verbs': ['submit'], 'nodes': 4}; those of "
        "a profile can only be narrowed.",
    )
    audit: str | None = Field(
        default=None, description="What is written down of that where tasks run: acts if empty, all or off."
    )
    refresh_token: SecretStr | None = Field(
        default=None,
        description="Of a person's login, for machines that share one home; the ones that come after it are "
        "kept there, never here.",
    )
    subject_token: SecretStr | None = Field(
        default=None, description="Another's token, for which the endpoint gives one (RFC 8693)."
    )
    subject_type: str | None = Field(
        default=None, description="What that is: jwt if empty, id_token, access_token, or a URN."
    )
    audience: str | None = Field(
        default=None, description="Whom the new token is for, where the endpoint wants to know."
    )
    share: bool | None = Field(
        default=None,
        description="All processes of a user on a machine use one token of the client, which is kept there.",
    )

    @model_validator(mode="before")
    @classmethod
    def _known_words(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if unknown := sorted(set(values) - set(cls.model_fields) - _PREFECTS_OWN):
            known = ", ".join(cls.model_fields)
            raise UsageError(f"{cls.__name__} has no such field: {', '.join(unknown)} (fields: {known})")
        if empty := sorted(name for name, value in values.items() if value == ""):
            raise UsageError(f"{cls.__name__}: {', '.join(empty)} must not be empty; leave it out instead")
        return values

    @model_validator(mode="after")
    def _one_door(self) -> IriFacility:
        client = [name for name in (*_CLIENT, *_SECRETS) if getattr(self, name)]
        if (self.url is None) == (self.profile is None):
            raise UsageError("IriFacility needs either a url or the name of a profile")
        if self.profile is not None and (self.token or client):
            raise UsageError("IriFacility: a profile has its own credential; give a url, or no token")
        if self.token and client:
            raise UsageError("IriFacility needs either a token or a client that fetches tokens, not both")
        if client:
            self._token_source()  # refuses what is no client
        if self.poll_seconds is not None and self.poll_seconds <= 0:
            raise UsageError(f"IriFacility: poll_seconds must be more than 0, not {self.poll_seconds}")
        return self

    def facility(self) -> Facility:
        """The core's Facility behind this block: jobs, files, status, accounts; ``.aio`` for async code.

        Raises:
            UsageError: for a URL that makes no sense.
            ProfileError: if there is no such profile here; names those that exist.
        """
        words = {name: value for name in _DEFAULTS if (value := getattr(self, name)) is not None}
        if self.profile is not None:
            return iri_common.Facility.from_profile(self.profile, **words)
        name = self._block_document_name or ""
        return iri_common.Facility(self.url or "", token=self._token_source(), name=name, **words)

    def get_client(self, *args: Any, **kwargs: Any) -> Facility:
        """The same, in Prefect's word for it."""
        return self.facility()

    def _token_source(self) -> TokenSource | None:
        named = f"block {self._block_document_name!r}" if self._block_document_name else "an unsaved block"
        if self.token is not None:
            return iri_common.StaticToken(self.token.get_secret_value(), origin=f"the token of {named}")
        words = {word: getattr(self, name) for name, word in _CLIENT.items() if getattr(self, name)}
        secrets = {word: getattr(self, name) for name, word in _SECRETS.items() if getattr(self, name)}
        words |= {word: secret.get_secret_value() for word, secret in secrets.items()}
        return iri_common.client_tokens(named, **words) if words else None

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Not as its name either: a block would be loaded while it is unpickled, before Prefect has told the
        # other process which server to ask.
        raise TypeError(
            "an IriFacility is not pickled, its secret would travel along: save it, and pass its name to "
            "tasks that run in other processes"
        )
