"""One bucket through botocore: its calls in threads, its errors in our words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from iri_common.http.transport import WireSettings
from iri_common.model.errors import (
    AuthError,
    IriError,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    TooLarge,
    TransientError,
    Unreachable,
    UsageError,
)

T = TypeVar("T")

# What a store's error code means; what is not listed goes by its status.
KINDS: Mapping[str, type[IriError]] = {
    "InvalidAccessKeyId": AuthError,
    "SignatureDoesNotMatch": AuthError,
    "ExpiredToken": AuthError,
    "InvalidToken": AuthError,
    "TokenRefreshRequired": AuthError,
    "RequestTimeTooSkewed": AuthError,
    "NoSuchBucket": NotFound,
    "NoSuchKey": NotFound,
    "NoSuchUpload": NotFound,
    "EntityTooLarge": TooLarge,
    "SlowDown": RateLimited,
    "RequestTimeout": TransientError,
    "NotImplemented": NotOffered,
}
BY_STATUS: Mapping[int, type[IriError]] = {
    401: AuthError,
    403: PermissionDenied,
    404: NotFound,
    408: TransientError,
    413: TooLarge,
    429: RateLimited,
    501: NotOffered,
}
NO_KEYS = (
    "the object store {label} is asked in the name of S3 credentials, and there are none; set "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a section of ~/.aws/credentials"
)


@dataclass(slots=True)
class Bucket:
    """A bucket, in the name of the credentials that botocore finds for itself.

    Attributes:
        name: Of the bucket.
        endpoint_url: Of a store that is not Amazon's.
        region: As the store calls it.
        label: What errors call it.
        wire: Certificates, proxy and patience.
    """

    name: str
    endpoint_url: str | None = None
    region: str | None = None
    label: str = ""
    wire: WireSettings = field(default_factory=WireSettings)
    _client: Any = field(default=None, repr=False)
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False)

    async def call(self, operation: str, **words: Any) -> Mapping[str, Any]:
        """One request, made once.

        Raises:
            IriError: the kind that fits the store's answer.
        """
        return await self.at_work(operation, lambda client: getattr(client, operation)(**words))

    async def at_work(self, operation: str, work: Callable[[Any], T]) -> T:
        """Something with botocore's client, in a thread: it reads files, signs, and waits."""
        return await asyncio.to_thread(self._at_work, operation, work)

    def _at_work(self, operation: str, work: Callable[[Any], T]) -> T:
        exceptions = _botocore("exceptions")
        try:
            with self._making:
                self._client = self._client or self._made()
            return work(self._client)
        except exceptions.ClientError as error:
            raise self._refused(operation, error.response) from None
        except (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.ProfileNotFound,
        ):
            raise AuthError(NO_KEYS.format(label=self.label), facility=self.label) from None
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            # Their own words repeat the URL.
            raise Unreachable(
                f"no answer from the object store: {type(error).__name__}; check its address and the network",
                facility=self.label,
                operation=operation,
            ) from None
        except exceptions.BotoCoreError as error:
            raise UsageError(
                f"botocore cannot ask the object store: {type(error).__name__}", facility=self.label
            ) from None

    def _made(self) -> Any:
        proxy = self.wire.proxy
        config = _botocore("config").Config(
            signature_version="s3v4",
            # A facility's store has one name in the DNS, not one a bucket.
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            # Who presigns a link does not know the checksum of what will be sent over it.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=self.wire.connect_seconds,
            read_timeout=self.wire.read_seconds,
            max_pool_connections=self.wire.connections,
            proxies={"http": proxy, "https": proxy} if proxy else None,
        )
        return (
            _botocore("session")
            .get_session()
            .create_client(
                "s3",
                region_name=self.region or "us-east-1",
                endpoint_url=self.endpoint_url,
                verify=self.wire.ca_file,
                config=config,
            )
        )

    def _refused(self, operation: str, answer: Mapping[str, Any]) -> IriError:
        said, about = answer.get("Error", {}), answer.get("ResponseMetadata", {})
        code, status = str(said.get("Code", "")), int(about.get("HTTPStatusCode", 0))
        kind = KINDS.get(code) or BY_STATUS.get(status) or (TransientError if status >= 500 else Refused)
        lead = "the object store refused the S3 credentials" if kind is AuthError else "the object store said"
        return kind(
            f"{lead}: {code} {said.get('Message', '')}".rstrip(),
            facility=self.label,
            operation=operation,
            status=status or None,
            request_id=about.get("RequestId"),
        )


def _botocore(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"botocore.{module}")
    except ModuleNotFoundError:
        raise UsageError("S3 access endpoints need botocore: install iri-common[s3]") from None
