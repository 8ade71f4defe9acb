"""What tests have of the S3M face of a facility of theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from iri_local_facility.accounts import Accounts
from iri_local_facility.state import state_of

from .tokens import STREAM, WRITE, Grant, new_token


def issue_s3m_token(root: Path, user: str, lifetime: float | None = None, grant: Grant | None = None) -> str:
    """A new project token, written straight into the state of the facility at ``root``."""
    with state_of(root) as (settings, store):
        return new_token(Accounts(settings, store), store, user, lifetime, grant or Grant("demo"))


class WithS3m:
    """The part of a `LocalFacility` that is about S3M."""

    root: Path
    _ready: dict[str, Any]
    _control: Callable[..., Any]

    @property
    def s3m_url(self) -> str:
        """What the paths of S3M begin with."""
        return self._ready["url"]

    @property
    def s3m_token(self) -> str:
        """A project token with all permissions; made at the first look."""
        if "s3m_token" not in self._ready:
            self._ready["s3m_token"] = self.new_s3m_token()
        return self._ready["s3m_token"]

    def clusters(self) -> list[dict[str, Any]]:
        """Every cluster of message brokers there ever was, and whether it was released."""
        return self._control("GET", "/clusters")

    def new_s3m_token(
        self,
        project: str = "demo",
        permissions: Iterable[str] = (WRITE, STREAM),
        *,
        lifetime: float | None = None,
        one_time: bool = False,
        starts_in: float = 0.0,
    ) -> str:
        """A new project token.

        Args:
            project: Whose it is.
            permissions: What it is good for.
            lifetime: Seconds until it expires; ``None`` is a year away.
            one_time: Whether any use of it is the last.
            starts_in: Seconds until it begins to be good.
        """
        starts = time.time() + starts_in if starts_in else 0.0
        grant = Grant(project, list(permissions), one_time=one_time, starts=starts)
        return issue_s3m_token(self.root, self._ready["user"], lifetime, grant)
