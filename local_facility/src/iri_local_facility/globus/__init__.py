"""Globus at the facility: Auth, Transfer, Flows, and collections with their HTTPS server."""
