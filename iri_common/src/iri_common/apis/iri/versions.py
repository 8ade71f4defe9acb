"""What the two majors of the API do differently, as data; everything else is the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from iri_common.model.errors import NotOffered
from iri_common.model.files import Compression


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One major of the API.

    Attributes:
        name: Also the last segment of a base URL.
        compressions: The words for how an archive is packed.
        verbs: Of the file operations that are no POST; GET and DELETE take their options in the query.
        keys: Idempotency keys exist; without them a submit is settled by looking for the job.
        whoami: The API tells the name of the user.
        storage: The storage service exists.
    """

    name: str
    compressions: Mapping[Compression, str]
    verbs: Mapping[str, Literal["GET", "PUT", "DELETE"]] = field(
        default_factory=dict[str, Literal["GET", "PUT", "DELETE"]]
    )
    keys: bool = True
    whoami: bool = True
    storage: bool = True

    def lacks(self, what: str, operation: str, facility: str, instead: str) -> NotOffered:
        """The error for what this major does not have."""
        return NotOffered(
            f"the IRI API {self.name} of this facility has no {what}; {instead}",
            facility=facility,
            operation=operation,
        )


V2 = Version("v2", compressions={each: f"urn:doe-iri:compression:{each.value}" for each in Compression})

V1 = Version(
    "v1",
    compressions={each: each.value for each in Compression},
    verbs={
        **dict.fromkeys(("ls", "head", "tail", "view", "checksum", "file", "stat", "download"), "GET"),
        "rm": "DELETE",
        "chmod": "PUT",
        "chown": "PUT",
    },
    keys=False,
    whoami=False,
    storage=False,
)


def version_of(base_url: str) -> Version:
    """The major that a base URL speaks, told by its last segment; one that names none of ours has v2.

    ``…/api/v1`` is the rule and ``…/v1`` has been met (PNNL); gateways put other things before it.
    """
    last = urlsplit(base_url).path.rstrip("/").rpartition("/")[2]
    return V1 if last.lower() == V1.name else V2
