"""Whether jobs can read what a transfer brings, by whom the files and whom the jobs belong to; pure."""

from __future__ import annotations

from dataclasses import dataclass

from iri_common.model.credential import Principal


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes files at a facility in the place of its own API.

    Attributes:
        name: For people.
        person: It is somebody who logged in.
        account: The account there that the files will belong to; None where nobody tells.
    """

    name: str
    person: bool
    account: str | None = None

    @property
    def known(self) -> bool:
        """Whether anything can be concluded from it."""
        return self.person or self.account is not None


def unread(facility: str, principal: Principal | None, writer: Writer) -> str:
    """What jobs there may not be able to read, and what to do; "" unless both owners are known to differ.

    Args:
        facility: What people call it.
        principal: In whose name jobs are asked for there, as far as that is told.
        writer: Whose the files will be.
    """
    if principal is None or principal.owner is None or writer.account == principal.owner:
        return ""
    # An API whose jobs run as no person says so of everybody who can log in.
    if writer.account is None and not (writer.person and principal.why):
        return ""
    owner, account = principal.owner, writer.account or "the account of whoever logged in"
    return (
        f"what {writer.name} writes at {facility} belongs to {account}, and jobs there run as {owner}: they "
        "read it only where they may. Put it into a directory of a group that both are in (chmod g+s for it, "
        "g+rX for the files), or let the other account in before the transfer: "
        f"setfacl -m u:{owner}:rX,d:u:{owner}:rX <directory>"
    )
