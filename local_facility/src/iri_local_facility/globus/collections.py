"""Collections: directories of this machine as Globus sees them, the facility's own among them."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from iri_local_facility.accounts import User
from iri_local_facility.errors import Rejected
from iri_local_facility.paths import Areas
from iri_local_facility.settings import Settings
from iri_local_facility.store import Store

from .refusals import Refusal

Kind = Literal["mapped", "guest"]


@dataclass(frozen=True)
class Collection:
    """One collection.

    Attributes:
        root: The directory that it shows as ``/``.
        within: What can be reached of it; nothing said, all. The facility's own collection has the areas of
            whoever asks instead.
        kind: Mapped collections ask for a consent of their own where ``data_access`` says so.
        high_assurance: Whether only tokens are good for which a person logged in.
        domain: The domain that the person must have logged in with; told, not checked.
    """

    # What an order misspells must not become a collection without its limits.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    id: str
    name: str
    root: str = "/"
    within: tuple[str, ...] = ()
    kind: Kind = "mapped"
    high_assurance: bool = False
    data_access: bool = False
    domain: str = "facility.invalid"
    own: bool = False

    @property
    def needs_consent(self) -> bool:
        """Whether a client must have been granted access to its data."""
        return self.data_access and self.kind == "mapped" and not self.high_assurance

    @property
    def takes_consent(self) -> bool:
        """Whether the scope for that exists: elsewhere it is an unknown one."""
        return self.kind == "mapped" and not self.high_assurance

    @property
    def https_scope(self) -> str:
        """The scope of tokens for its HTTPS server."""
        return f"https://auth.globus.org/scopes/{self.id}/https"

    @property
    def data_access_scope(self) -> str:
        """The scope of the consent."""
        return f"https://auth.globus.org/scopes/{self.id}/data_access"

    def resolve(self, user: User, path: str, *, follow: bool = True, inner: bool = False) -> Path:
        """The real path that a path of the collection means.

        Args:
            user: Who asks.
            path: Absolute in the collection, or below ``~``.
            follow: Whether a symbolic link in the last place stands for its target or for itself.
            inner: Refuse the top of what can be reached, for changes that it would not survive.

        Raises:
            Rejected: Not a path.
            Denied: It leads out of what can be reached.
        """
        areas = self._areas(user)
        if "\0" in path:
            raise Rejected(f"{path!r} is not a path")
        rest = path.removeprefix("/")
        if rest == "~" or rest.startswith("~/"):
            real = os.path.join(areas.home, rest[2:])
        else:
            real = os.path.join(self.root, rest.lstrip("/"))
        return areas.resolve_inner(real, follow=follow) if inner else areas.resolve(real, follow=follow)

    def _areas(self, user: User) -> Areas:
        if self.own:
            return user.areas
        tops = [Path(os.path.realpath(top)) for top in self.within or (self.root,)]
        return Areas(home=tops[0], scratch=tops[0], projects={str(top): top for top in tops})


class Collections:
    """The collections that this facility's Globus knows."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self.own = Collection(
            id=own_id(settings.name),
            name=f"Files of {settings.name}",
            root=str(settings.collection_root or "/"),
            own=True,
            data_access=settings.data_access,
            high_assurance=settings.high_assurance,
        )
        for name, directory in settings.collections.items():
            self.add(Collection(id=make_id(settings.name, name), name=name, root=str(directory)))

    def add(self, collection: Collection) -> Collection:
        """Make a collection known, or change one.

        Raises:
            Rejected: Its directory is not there, or its id is no UUID.
        """
        for directory in (collection.root, *collection.within):
            if not os.path.isabs(directory) or not os.path.isdir(directory):
                raise Rejected(f"{directory}: not a directory")
        try:
            uuid.UUID(collection.id)
        except ValueError:
            raise Rejected(f"{collection.id}: not a UUID") from None
        if collection.id == self.own.id:
            raise Rejected(f"{collection.id}: the id of the facility's own collection")
        self._store.run(
            "INSERT OR REPLACE INTO globus_collections VALUES (?, ?, ?)",
            collection.id,
            collection.name,
            json.dumps(asdict(collection)),
        )
        return collection

    def get(self, collection_id: str) -> Collection:
        """The collection of that id.

        Raises:
            Refusal: There is none.
        """
        for collection in self.all():
            if collection.id == collection_id:
                return collection
        raise Refusal(404, "EndpointNotFound", f"No such endpoint '{collection_id}'")

    def all(self) -> list[Collection]:
        """All collections, the facility's own first."""
        rows = self._store.rows("SELECT document FROM globus_collections ORDER BY rowid")
        return [self.own, *(_collection(json.loads(row["document"])) for row in rows)]


def make_id(facility: str, name: str) -> str:
    """The id of a further collection of a facility: the same at every start."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://{facility}.facility.invalid/collection/{name}"))


def own_id(facility: str) -> str:
    """The id of the collection that shows a facility's own files, wherever it is served."""
    return make_id(facility, "")


def _collection(document: dict[str, Any]) -> Collection:
    return Collection(**{**document, "within": tuple(document["within"])})
