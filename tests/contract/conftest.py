"""The core is tested on loops that nothing may block."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def on_a_calm_loop(calm_loop: None) -> None:
    """For every test: the I/O loop runs beside those that are not async themselves."""
