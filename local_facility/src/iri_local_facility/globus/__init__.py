"""Globus at the facility: Auth, Transfer, and collections with their HTTPS server."""
