"""What tests have of the Globus of a facility of theirs."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from iri_local_facility.asking import control, page


class WithGlobus:
    """The part of a `LocalFacility` that is about Globus."""

    root: Path
    _ready: dict[str, Any]
    _globus: WithGlobus | None

    @property
    def collection(self) -> str:
        """The Globus collection that shows the facility's files."""
        return self._ready["collection"]

    @property
    def globus_client_id(self) -> str:
        """A confidential client of Globus Auth, with `globus_client_secret`; it acts as the default user."""
        return self._served["globus_client_id"]

    @property
    def globus_client_secret(self) -> str:
        """Its secret."""
        return self._served["globus_client_secret"]

    @property
    def globus_native_client_id(self) -> str:
        """A client without a secret, for people who log in."""
        return self._served["globus_native_client_id"]

    @property
    def globus_env(self) -> dict[str, str]:
        """The environment that makes the Globus SDK speak to this facility."""
        url = self._served["url"]
        return {
            "GLOBUS_SDK_SERVICE_URL_AUTH": f"{url}/globus/auth/",
            "GLOBUS_SDK_SERVICE_URL_TRANSFER": f"{url}/globus/transfer/",
            "GLOBUS_SDK_SERVICE_URL_FLOWS": f"{url}/globus/flows/",
            "GLOBUS_SDK_SERVICE_URL_COMPUTE": f"{url}/globus/compute/",
        }

    @property
    def https_base(self) -> str:
        """The HTTPS server of the facility's collection."""
        return f"{self._served['url']}/globus/https/{self.collection}"

    @property
    def _served(self) -> dict[str, Any]:
        """How to reach the facility whose Globus serves this one's files."""
        return self._ready if self._globus is None else self._globus._ready

    def collection_of(self, name: str) -> str:
        """The id of a further collection, by the name that it was given."""
        for collection in control(self._ready["url"], "GET", "/collections"):
            if collection["name"] == name:
                return collection["id"]
        raise KeyError(name)

    def add_collection(self, name: str, root: str | os.PathLike[str], **facts: Any) -> str:
        """Serve a directory of this machine as a collection, and return its id.

        Args:
            name: What it is called.
            root: The directory that it shows as ``/``.
            facts: ``id``, ``within`` (what can be reached), ``kind`` (``mapped``, ``guest``),
                ``data_access``, ``high_assurance``, ``domain``.
        """
        collection = {"id": str(uuid.uuid4()), "name": name, "root": str(root), **facts}
        return control(self._ready["url"], "POST", "/collections", collection)["id"]

    def adopt(self, other: WithGlobus) -> None:
        """Serve the collection of another facility, so that files can go from one to the other."""
        areas = [str(other.root / area) for area in ("home", "scratch", "project")]
        self.add_collection(other._ready["name"], "/", id=other.collection, within=areas)

    def transfers(self) -> list[dict[str, Any]]:
        """All Globus tasks, oldest first, with the orders that struck them."""
        return control(self._ready["url"], "GET", "/transfers")

    def flow_runs(self) -> list[dict[str, Any]]:
        """All runs of flows, oldest first, released ones among them."""
        return control(self._served["url"], "GET", "/runs")

    @property
    def compute_endpoint(self) -> str:
        """The endpoint of Globus Compute at which the default user has tasks run."""
        return control(self._served["url"], "GET", "/endpoints")[0]["id"]

    def put_endpoint(self, **facts: Any) -> str:
        """Add an endpoint, or change one, and return its id.

        Args:
            facts: ``id`` (of the one to change), ``name``, ``owner``, ``online``, ``high_assurance``,
                ``allowed_functions``.
        """
        known = {each["id"]: each for each in control(self._served["url"], "GET", "/endpoints")}
        blank = {"name": "endpoint", "owner": self._served["user"]}
        endpoint = {**blank, **known.get(facts.get("id"), {}), **facts}
        return control(self._served["url"], "POST", "/endpoints", endpoint)["id"]

    def compute_tasks(self) -> list[dict[str, Any]]:
        """All tasks of Globus Compute, oldest first; ``begun`` counts the processes of each."""
        return control(self._served["url"], "GET", "/calls")

    def drop_results(self) -> None:
        """Have Globus Compute forget what came of all tasks."""
        control(self._served["url"], "DELETE", "/calls/results")

    def globus_login(self, authorize_url: str, user: str | None = None) -> str:
        """Do what a person does in a browser: log in at the URL, and return the code that the page shows."""
        shown = page(f"{authorize_url}&{urlencode({'login_hint': user or self._ready['user']})}")
        return shown.partition("<pre>")[2].partition("</pre>")[0]
