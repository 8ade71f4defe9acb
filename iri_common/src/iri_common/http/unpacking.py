"""A reply's body out of its packing, a piece at a time: what is small on the wire may be endless here."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from iri_common.policy.classify import ReplyLost

ACCEPTED = "gzip, deflate"  # others unpack to more in one step than anybody can bound

_PIECE = 256 * 1024
_EITHER = zlib.MAX_WBITS | 32  # gzip, or zlib's own format, as the first bytes tell
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN = frozenset({"", "identity"})


class Unpacking:
    """One body.

    Args:
        encoding: The reply's ``Content-Encoding``.

    Raises:
        ReplyLost: if that is none that was asked for.
    """

    def __init__(self, encoding: str) -> None:
        named = encoding.strip().lower()
        if named not in _PACKED | _PLAIN:
            raise ReplyLost("the body is packed in a way that was not asked for")
        self._packer = zlib.decompressobj(_EITHER) if named in _PACKED else None
        self._begun = False

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        """What these bytes of the wire are, in pieces that can be counted before the next one is made.

        Raises:
            ReplyLost: if they are not what they were said to be.
        """
        if self._packer is None:
            yield raw
            return
        self._begun = self._begun or bool(raw)
        while raw and not self._packer.eof:
            try:
                piece = self._packer.decompress(raw, _PIECE)
            except zlib.error:
                raise ReplyLost("the body cannot be unpacked") from None
            raw = self._packer.unconsumed_tail
            yield piece

    def end(self) -> None:
        """All bytes of the wire were given.

        Raises:
            ReplyLost: if more should have come.
        """
        if self._packer is not None and self._begun and not self._packer.eof:
            raise ReplyLost("the packed body ends before its end")
