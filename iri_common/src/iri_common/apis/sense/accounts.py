"""Who the token speaks for, as far as SENSE tells."""

from __future__ import annotations

from collections.abc import Sequence

from iri_common.apis.sense.networks import SenseNetworks
from iri_common.model.errors import NotOffered
from iri_common.model.facility import Allocation, Capability, Project
from iri_common.model.outcome import Done


class SenseAccounts:
    """The user of the profile; SENSE judges tokens and tells nothing of them.

    Args:
        networks: A look at the profiles needs a token.
        user: As the profile names it.
        label: What errors call the facility.
    """

    def __init__(self, networks: SenseNetworks, user: str | None, label: str) -> None:
        self._networks = networks
        self._user = user
        self._label = label

    async def check_token(self) -> Done[str | None]:
        """Judged by a look at the profiles."""
        await self._networks.profiles()
        return Done(self._user)

    async def whoami(self) -> Done[str]:
        """What the profile says, if the token is good."""
        user = (await self.check_token()).value
        if user is None:
            raise NotOffered("SENSE does not tell whose a token is", facility=self._label)
        return Done(user)

    async def capabilities(self) -> Done[Sequence[Capability]]:
        """Not told."""
        raise self._lacks()

    async def projects(self) -> Done[Sequence[Project]]:
        """Not told."""
        raise self._lacks()

    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]:
        """Not told."""
        raise self._lacks()

    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]:
        """Not told."""
        raise self._lacks()

    def _lacks(self) -> NotOffered:
        return NotOffered("SENSE charges nobody: paths have licences in their profiles", facility=self._label)
