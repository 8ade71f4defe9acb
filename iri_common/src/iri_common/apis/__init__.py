"""Dialects: one package per facility API, each in the words of :mod:`iri_common.model.ports`."""
