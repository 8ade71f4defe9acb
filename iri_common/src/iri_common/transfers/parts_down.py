"""One file down over a signed link: ranges into a file aside, which takes its place when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from iri_common.jobs.operations import settled
from iri_common.model.dataports import Piece
from iri_common.model.errors import TransferError
from iri_common.model.transfer import DownloadLink
from iri_common.transfers import local
from iri_common.transfers.abreast import tried
from iri_common.transfers.aside import LocalAside
from iri_common.transfers.boots import believed
from iri_common.transfers.links import Links, StaleLink, from_byte, require_fine, wire_errors, words_of
from iri_common.transfers.parts_leg import Leg
from iri_common.transfers.spans import Damaged, Digest, OpenAt, Spans, fetch


class Download(Leg):
    """Ranges into a file aside.

    Its SHA-256 takes as long to make as the bytes take to come, so without being asked for it is made only
    where there is one to compare it with.
    """

    _etag = ""  # of the object, from the first reply on

    async def carry(self) -> None:
        """Move it; carried again, it goes on at the first byte that is missing."""
        move, transfer = self._move, self._trip.notes.transfer
        await local.require_place(move.target)
        if not move.size:
            await local.write_whole(move.target, transfer, b"")
            self._landed(hashlib.sha256().hexdigest())
            return
        first = await self._link(None)
        size = move.size if first.size is None else first.size
        links = Links(first, self._link)
        noted, hashed = self._noted_of(size), self._is_hashed(first)
        if (noted.get("sha256") or not hashed) and await self._is_placed(noted, links, size):
            self._trip.meter.kept(size)
            self._landed(noted["sha256"])
            return
        aside = LocalAside(move.target, transfer)
        try:
            sha256 = await self._fetched(noted, links, aside, size, hashed=hashed)
            await self._compare(first, size, sha256)
            await self._take_down(size, {"missing": [], "mark": await aside.mark(size), "sha256": sha256})
            await aside.place(size)
        except Damaged:
            self._note(None)
            await aside.drop()
            raise
        finally:
            aside.close()
        self._landed(sha256)

    def _noted_of(self, size: int) -> Mapping[str, Any]:
        """What an earlier try took down of a source that looks as it does now."""
        noted = self._noted or {}
        same = noted.get("size") == size and noted.get("mtime") == self._move.mtime
        return noted if same else {}

    async def _take_down(self, size: int, words: Mapping[str, Any]) -> None:
        self._note({"size": size, "mtime": self._move.mtime, "etag": self._etag, **words})
        await self._trip.notes.written()

    async def _is_placed(self, noted: Mapping[str, Any], links: Links[DownloadLink], size: int) -> bool:
        """Whether it is in place since an earlier try, which did not live to tell."""
        if "mark" not in noted or noted["mark"] != await local.mark_of(self._move.target):
            return False
        self._etag = noted["etag"]

        async def look() -> None:
            async with self._opener(links, Spans(size))(size - 1, size) as pieces:
                async for _ in pieces:
                    pass

        try:
            await tried(look)
        except Damaged:
            self._etag = ""  # there is another object by now
        return bool(self._etag)

    async def _compare(self, link: DownloadLink, size: int, sha256: str | None) -> None:
        far, what = self._end.far, f"{self._move.source} -> {self._move.target}"
        if sha256 is None or self._end.checksum is False:
            return
        if link.sha256 not in {None, sha256}:
            told = f"SHA-256 {link.sha256} there, {sha256} here"
            raise Damaged(f"{what} did not arrive whole: {told}; try again")
        try:
            if far is not None:
                await far.require_whole(self._move.source, size, sha256, what)
        except TransferError as error:
            raise Damaged(str(error)) from None

    async def _link(self, _: DownloadLink | None) -> DownloadLink:
        async def asked() -> DownloadLink:
            answer = await self._end.parts.link(self._end.id, self._move.source)
            return await settled(answer, self._end.operations, self._patience)

        return await tried(asked)

    def _is_hashed(self, link: DownloadLink) -> bool:
        wish, told = self._end.checksum, self._end.far is not None or link.sha256 is not None
        return told if wish is None else wish

    async def _fetched(
        self,
        noted: Mapping[str, Any],
        links: Links[DownloadLink],
        aside: LocalAside,
        size: int,
        *,
        hashed: bool,
    ) -> str | None:
        """Read what is missing; gives the SHA-256 of all."""
        left = await aside.open(keep=bool(noted))
        # With all of it here, the last byte is read again: the reply tells whether the object is the same.
        spans = Spans(size, believed(noted, aside.boot) or [[size - 1, size]] if noted and left else None)
        self._etag = noted["etag"] if noted and left else ""
        self._trip.meter.kept(spans.here)

        async def note(words: Mapping[str, Any]) -> None:
            await self._take_down(size, words)

        async def read(digest: Digest | None) -> None:
            opener, slots = self._opener(links, spans), self._slots
            await fetch(opener, aside, spans, digest, self._move, self._trip, slots=slots, note=note)

        if not hashed:
            await read(None)
            return None
        digest = Digest(aside.read, size, spans)
        async with digest.making() as made:
            await read(digest)
            return await made

    def _opener(self, links: Links[DownloadLink], spans: Spans) -> OpenAt:
        @contextlib.asynccontextmanager
        async def open_at(start: int, end: int) -> AsyncGenerator[AsyncIterator[Piece]]:
            link = await links.good()
            try:
                with wire_errors():
                    async with self._end.wire.get(link.url, start, end) as reply:
                        if not 200 <= reply.status < 300:
                            require_fine(reply.status, await words_of(reply.pieces))
                        self._require_same(reply.headers.get("etag", ""))
                        if reply.status == 206:
                            yield reply.pieces
                        else:  # a store that knows no ranges tells all of it, whatever was asked for
                            spans.divisible = False
                            yield from_byte(start, reply.pieces)
            except StaleLink:
                await links.renew(link)
                raise

        return open_at

    def _require_same(self, etag: str) -> None:
        if self._etag and etag and etag != self._etag:
            raise Damaged(f"{self._move.source} changed while it was read; ask again")
        self._etag = self._etag or etag
