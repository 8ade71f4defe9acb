"""Absolute links, built for each request from what the client (or a proxy before it) says our name is."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

_CURIES = [{"name": "iri", "href": "https://iri.science/rels/{rel}", "templated": True}]


def origin(request: Request) -> str:
    """Scheme, host and any prefix that a proxy has taken off."""
    headers = request.headers
    scheme = headers.get("x-forwarded-proto") or request.url.scheme
    host = headers.get("x-forwarded-host") or headers.get("host") or "localhost"
    return f"{scheme}://{host}{headers.get('x-forwarded-prefix', '').rstrip('/')}"


class Links:
    """Makes the links of one response."""

    def __init__(self, request: Request) -> None:
        self._base = origin(request) + request.app.state.prefix

    def __call__(self, path: str) -> str:
        """The absolute URI of a path below the API's prefix."""
        return f"{self._base}{path}"

    def hal(self, self_uri: str, profile: str, **relations: str | list[str] | None) -> dict[str, Any]:
        """The ``_links`` of an object.

        Args:
            self_uri: The object itself.
            profile: The kind of object.
            relations: Relation names with ``_`` for ``-``; those without a target are left out.
        """
        links: dict[str, Any] = {
            "self": {
                "href": self_uri,
                "type": "application/json",
                "profile": f"urn:doe-iri:profile:{profile}",
            },
            "curies": _CURIES,
        }
        for name, target in relations.items():
            key = f"iri:{name.replace('_', '-')}"
            if isinstance(target, list) and target:
                links[key] = [{"href": href, "type": "application/json"} for href in target]
            elif isinstance(target, str):
                links[key] = {"href": target, "type": "application/json"}
        return links
