"""Globus at the facility: Auth, Transfer, Flows, Compute, and collections with their HTTPS server."""
