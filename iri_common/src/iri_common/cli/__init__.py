"""The ``iri`` command."""
