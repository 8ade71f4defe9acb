"""What a network does not have, and what serves instead."""

from __future__ import annotations

from typing import Any, NoReturn

from iri_common.model.errors import NotOffered


class _Absent:
    """Every method raises NotOffered."""

    _words = ""

    def __init__(self, label: str) -> None:
        self._label = label

    async def _none(self, *_: Any, **__: Any) -> NoReturn:
        raise self._lacks()

    def _lacks(self) -> NotOffered:
        return NotOffered(self._words, facility=self._label)


class NoJobs(_Absent):
    """A network runs nothing."""

    _words = "SENSE runs no jobs; ask a facility at one end of the path (facility.networks leases the path)"

    submit = status = list = output_paths = cancel = update = _Absent._none

    def submit_request(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing would be sent."""
        raise self._lacks()


class NoFiles(_Absent):
    """A network keeps nothing."""

    _words = "SENSE has no files; it leases the path (facility.networks) that a transfer then goes over"

    ls = head = tail = view = checksum = file_type = stat = download = upload = _Absent._none
    rm = chmod = chown = mkdir = symlink = cp = mv = compress = extract = _Absent._none


class NoStorage(_Absent):
    """A network keeps nothing."""

    _words = "SENSE has no storage; ask the facility at one end of the path"

    locations = access_endpoints = _Absent._none


class NoOperations(_Absent):
    """What takes its time is told by a lease's own status."""

    _words = "SENSE has no operations to wait for; facility.networks.wait waits for a path"

    check = forget = _Absent._none

    def promised(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing was."""
        raise self._lacks()
