"""Where things are kept, given an environment."""

from __future__ import annotations

import pytest

from iri_common.policy.places import place


@pytest.mark.parametrize(
    ("environment", "kind", "path"),
    [
        ({}, "state", "~/.local/state/iri/x/y"),
        ({}, "config", "~/.config/iri/x/y"),
        ({"XDG_CACHE_HOME": ""}, "cache", "~/.cache/iri/x/y"),
        ({"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}, "state", "/s/iri/x/y"),
        ({"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c/"}, "cache", "/c/iri/x/y"),
        ({"XDG_STATE_HOME": "~/s"}, "state", "~/s/iri/x/y"),
        ({"XDG_STATE_HOME": "relative"}, "state", "~/.local/state/iri/x/y"),
        ({"XDG_CONFIG_HOME": "./relative"}, "config", "~/.config/iri/x/y"),
    ],
)
def test_each_kind_has_its_place(environment: dict[str, str], kind, path: str) -> None:
    assert place(environment, kind, "x", "y") == path
