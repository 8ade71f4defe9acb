"""What ``iri login`` and ``iri logout`` do with a profile; asked on the I/O loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from iri_common.auth.authcode import CodeGrant, CodeRequest
from iri_common.auth.device import DeviceCode, begun, typed
from iri_common.auth.endpoint import Granted
from iri_common.auth.logins import end, forget, held, keep, revoke, take
from iri_common.auth.provider import Application, Provider, discovered
from iri_common.auth.refresh import RefreshTokens
from iri_common.auth.secret import SecretReader
from iri_common.auth.shared import SharedTokens
from iri_common.auth.static import StaticToken
from iri_common.facility.credentials import Client, client_tokens
from iri_common.facility.profiles import credential_words, load_profile
from iri_common.facility.services import AccountService
from iri_common.facility.settings import FacilitySettings
from iri_common.http.transport import HttpxTransport
from iri_common.jobs.ledger import FileLedger
from iri_common.model.credential import Credential
from iri_common.model.errors import NotOffered
from iri_common.model.ports import TokenExchange, TokenSource
from iri_common.policy.login import Plan, plan_of

_GIVEN = "what was pasted"


@dataclass(frozen=True, slots=True)
class ProfileLogin:
    """The login of a profile.

    Attributes:
        settings: Of the profile.
        plan: What the login is.
        secret: Reads what is logged in with, and puts another one there; None where there is none.
        client: The profile's, where it has one.
    """

    settings: FacilitySettings
    plan: Plan
    secret: SecretReader | None = None
    client: Client | None = None

    @property
    def application(self) -> Application:
        """Through which a person logs in."""
        assert self.client is not None
        secret = self.client.secret.secret() if self.client.secret else None
        return Application(self.client.id or "", secret, self.client.scope)

    async def provider(self) -> Provider:
        """What the endpoint offers; raises as ``discovered``."""
        assert self.client is not None
        async with self._wire() as send:
            return await discovered(self.client.token_url or "", self.client.issuer, send)

    async def code(self, provider: Provider) -> DeviceCode:
        """What a person is to type; raises as ``begun``."""
        async with self._wire() as send:
            return await begun(provider, self.application, send)

    async def typed(self, provider: Provider, code: DeviceCode) -> None:
        """Wait for the person, and keep the login; raises as ``typed``."""
        async with self._wire() as send:
            await self._keep(await typed(provider, self.application, code, send))

    async def came_back(self, request: CodeRequest, address: str) -> None:
        """Keep the login of a browser that came back.

        Raises:
            AuthError: if it brings none.
            Unreachable: if the endpoint does not answer.
        """
        grant = CodeGrant(request, request.code_in(address))
        async with self._wire() as send:
            await self._keep(await grant.granted(send))

    async def judged(self, value: str) -> Credential:
        """What a secret in hand is worth at the facility, before it replaces another one."""
        settings = replace(self.settings, token=await asyncio.to_thread(self._with, value))
        return await AccountService(settings, FileLedger()).credential()

    async def put(self, value: str) -> None:
        """Write a secret where the profile points; a login made elsewhere takes the place of those before."""
        assert self.secret is not None
        assert self.secret.put is not None
        if isinstance(self.settings.token, RefreshTokens):
            await asyncio.to_thread(take, self.settings.token, self.secret, value)
        else:
            await asyncio.to_thread(self.secret.put, value)

    async def revoke(self) -> bool | None:
        """End a person's login at its endpoint; False if that offers no such thing, None if there is none.

        Raises:
            AuthError: if the endpoint refuses that, or there is a login that cannot be read.
            Unreachable: if it does not answer: then nothing is forgotten, for nobody else could end it.
        """
        source, secret = self.settings.token, self.secret
        assert isinstance(source, RefreshTokens)
        assert secret is not None
        if not await asyncio.to_thread(held, source, secret):
            return None
        try:
            provider = await self.provider()
        except NotOffered:
            return False
        if not provider.revoke_url:
            return False
        loop = asyncio.get_running_loop()
        async with self._wire() as send:

            def revoke_one(token: str) -> None:
                work = revoke(provider, self.application, token, send)
                asyncio.run_coroutine_threadsafe(work, loop).result()

            await asyncio.to_thread(end, source, secret, revoke_one)
        return True

    async def forget(self) -> bool:
        """Drop what our own store keeps; whether there was anything."""
        source = self.settings.token
        return isinstance(source, SharedTokens) and await asyncio.to_thread(forget, source)

    async def drop(self) -> bool:
        """Remove the secret from where the profile points; whether there was one."""
        if self.secret is None or self.secret.drop is None:
            return False
        return await asyncio.to_thread(self.secret.drop)

    async def _keep(self, granted: Granted) -> None:
        assert isinstance(self.settings.token, RefreshTokens)
        assert self.secret is not None
        await asyncio.to_thread(keep, self.settings.token, self.secret, granted)

    def _with(self, value: str) -> TokenSource:
        if self.client is None:
            return StaticToken(value, _GIVEN)
        client, secret, password = self.client, value, ""
        if self.plan.word == "password":
            secret, password = client.secret.secret()() if client.secret else "", value
        return client_tokens(
            _GIVEN,
            id=client.id or "",
            token_url=client.token_url or "",
            secret=secret,
            user=client.user or "",
            password=password,
            scope=client.scope,
        )

    @contextlib.asynccontextmanager
    async def _wire(self) -> AsyncGenerator[TokenExchange]:
        transport = HttpxTransport(self.settings.wire)
        try:
            yield transport.send
        finally:
            await transport.close()


def login_of(name: str) -> ProfileLogin:
    """The login of a profile.

    Raises:
        ProfileError: if there is no such profile, or it cannot be used.
    """
    settings = load_profile(name)
    token, client = credential_words(name)
    secrets = {"token": token} if token else client.secrets() if client else {}
    plan = plan_of({word: each.place for word, each in secrets.items()})
    secret = secrets[plan.word].secret(plan.what) if plan.word not in {"", "key", "exchange"} else None
    return ProfileLogin(settings, plan, secret, client)
