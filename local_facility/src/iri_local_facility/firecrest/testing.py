"""What tests have of the FirecREST face of a facility of theirs."""

from __future__ import annotations

from typing import Any


class WithFirecrest:
    """The part of a `LocalFacility` that is about FirecREST."""

    _ready: dict[str, Any]

    @property
    def firecrest_url(self) -> str:
        """FirecREST v2; its one system is called ``cluster``."""
        return f"{self._ready['url']}/firecrest"
