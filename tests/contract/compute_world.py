"""A facility with Globus Compute, and the core's side of it: an endpoint, and faces to have it work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import globus_sdk
from globus_sdk.scopes import ComputeScopes

from iri_common import Compute, FileLedger, FunctionCall, GlobusCredential
from iri_common.apis.globus import formats
from iri_common.policy.globus_tasks import TaskPace
from iri_local_facility import LocalFacility

QUICK = TaskPace(0.05, 0.1)


def note(path: str) -> int:
    """Leaves a mark for each time that it runs; gives how many there are."""
    with open(path, "a") as file:
        file.write("x")
    with open(path) as file:
        return len(file.read())


@dataclass
class World:
    """What the tests of one module share; files and tasks are each test's own."""

    place: LocalFacility
    state: Path

    def own(self) -> GlobusCredential:
        """A client that speaks for itself."""
        return GlobusCredential(self.place.globus_client_id, lambda: self.place.globus_client_secret)

    def person(self) -> GlobusCredential:
        """Whoever logged in."""
        return GlobusCredential(self.place.globus_native_client_id)

    def ledger(self) -> FileLedger:
        return FileLedger(self.state / "ledger")

    @property
    def root(self) -> str:
        """Where the endpoint keeps who owns a key."""
        return str(self.state / "keys")

    @property
    def log(self) -> str:
        """A file that work leaves its marks in."""
        return str(self.state / "log")

    def marks(self) -> int:
        """How often the work was done."""
        log = Path(self.log)
        return len(log.read_text()) if log.exists() else 0

    def compute(
        self, credential: GlobusCredential | None = None, endpoint: str = "", **words: Any
    ) -> Compute:
        return Compute(
            endpoint or self.place.compute_endpoint,
            credential=credential or self.own(),
            pace=QUICK,
            **{"ledger": self.ledger(), "root": self.root, **words},
        )

    def registered(self, call: FunctionCall) -> str:
        """The id of a function that somebody registered."""
        auth = globus_sdk.ConfidentialAppAuthClient(
            self.place.globus_client_id, self.place.globus_client_secret
        )
        token = auth.oauth2_client_credentials_tokens(str(ComputeScopes.all)).data["access_token"]
        client = globus_sdk.ComputeClientV3(authorizer=globus_sdk.AccessTokenAuthorizer(token))
        document = {"function_name": call.name, "function_code": formats.function(call.name, call.source)}
        return client.register_function(document)["function_uuid"]

    def asked(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(each["operation"] for each in self.place.requests())
