"""What tests have of the slurmrestd face of a facility of theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from iri_local_facility.accounts import Accounts
from iri_local_facility.state import state_of

from .tokens import new_token


def issue_slurm_token(root: Path, user: str, lifetime: float | None = None) -> str:
    """A new token, written straight into the state of the facility at ``root``."""
    with state_of(root) as (settings, store):
        return new_token(Accounts(settings, store), store, user, lifetime)


class WithSlurm:
    """The part of a `LocalFacility` that is about slurmrestd."""

    root: Path
    _ready: dict[str, Any]
    _control: Callable[..., Any]

    @property
    def slurm_url(self) -> str:
        """What the paths of slurmrestd begin with."""
        return self._ready["url"]

    @property
    def slurm_user(self) -> str:
        """Whose token `slurm_token` is."""
        return self._ready["user"]

    @property
    def slurm_token(self) -> str:
        """A token of the default user, for ``X-SLURM-USER-TOKEN``; made at the first look."""
        if "slurm_token" not in self._ready:
            self._ready["slurm_token"] = self.new_slurm_token()
        return self._ready["slurm_token"]

    def reservations(self) -> list[dict[str, Any]]:
        """Every reservation of nodes there ever was, and whether it was ``deleted`` or is ``over``."""
        return self._control("GET", "/reservations")

    def new_slurm_token(self, user: str | None = None, lifetime: float | None = None) -> str:
        """A new token that is good for so many seconds, or for good."""
        return issue_slurm_token(self.root, user or self.slurm_user, lifetime)
