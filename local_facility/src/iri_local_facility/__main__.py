"""``python -m iri_local_facility``."""

from __future__ import annotations

from .cli import app

app()
