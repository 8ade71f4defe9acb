"""Paths of the facility as they stand in this API's URLs: as they are, one segment after the other."""

from __future__ import annotations

from urllib.parse import quote

from iri_common.apis.reading import segment
from iri_common.model.errors import UsageError


def utility(operation: str, resource_id: str, path: str) -> str:
    """The path of a request for a file; an absolute one follows with its own slash, which makes two.

    Raises:
        UsageError: for an empty path, and for one with "." or ".." in it: whoever is between here and the
            file may resolve those, before links are.
    """
    if not path:
        raise UsageError("a file operation needs a path; an empty one would be the facility's to guess")
    parts = path.split("/")
    if not {".", ".."}.isdisjoint(parts):
        raise UsageError(f"{path!r} goes into a URL, where '.' and '..' lose their meaning; say it without")
    try:
        quoted = "/".join(quote(each, safe="") for each in parts)
    except UnicodeEncodeError:
        raise UsageError(f"{path!r} is not text that can be encoded") from None
    return f"/utilities/{operation}/{segment(resource_id, 'machine')}/{quoted}"
