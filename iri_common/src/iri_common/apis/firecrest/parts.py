"""Large files over S3: the server signs the links, and its job moves the file between store and system."""

from __future__ import annotations

import contextlib
import posixpath
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import escape

from iri_common.apis.firecrest import paths
from iri_common.apis.firecrest.files import FirecrestFiles
from iri_common.apis.firecrest.jobs import FirecrestJobs
from iri_common.apis.firecrest.operations import FirecrestTransfers, TransferJob, job_of, pending
from iri_common.apis.firecrest.rules import FILE_REPLAYS
from iri_common.apis.firecrest.systems import Systems, why_no_s3
from iri_common.apis.firecrest.wire import DirectivesReply, TransferReply
from iri_common.apis.reading import Reading, segment
from iri_common.http.session import Request, Session
from iri_common.model.errors import IriError, NotFound, NotOffered, Refused, TransientError
from iri_common.model.outcome import Answer, Done, Pending
from iri_common.model.transfer import DownloadLink, PartsUpload
from iri_common.policy.classify import NotSent, ReplyLost
from iri_common.policy.links import Link, link_verdict

_UPLOAD, _DOWNLOAD = "transfer/upload", "transfer/download"
_INGRESS = "IngressFileTransfer"  # the name of the job that waits for an upload, for a day
_REMEMBERED = 1000  # uploads
_INSTEAD = "allow a job (allow_job), or name a Globus collection in the profile"


class FirecrestParts:
    """Uploads and downloads by ``transferMethod: s3``.

    The link that finishes an upload is a secret, so it lives with this process and an upload does not outlive
    it: nobody signs another one.
    """

    appears_whole = False  # the job joins what comes at the file's own path
    by_job = True

    def __init__(
        self,
        session: Session,
        systems: Systems,
        jobs: FirecrestJobs,
        files: FirecrestFiles,
        transfers: FirecrestTransfers,
    ) -> None:
        self._session = session
        self._systems = systems
        self._jobs = jobs
        self._files = files
        self._transfers = transfers
        self._finishing: OrderedDict[str, str] = OrderedDict()

    @property
    def why_not(self) -> str:
        """Why no system here has S3 transfers, as far as is known; "" if one has."""
        return self._systems.why_no_links

    async def begin(self, resource_id: str, path: str, size: int) -> Done[PartsUpload]:
        """Have links signed, and the job begin that waits for the file."""
        if not size:
            raise self._lacks("an upload of nothing goes through ops/upload", _UPLOAD)
        body = {"path": paths.sent_to(path, _UPLOAD)}
        expires_at, reading, value = await self._ask(_UPLOAD, resource_id, body, {"fileSize": size})
        job = str(job_of(reading, resource_id, value))
        told = _directives(reading, value)
        links, part_size = tuple(told.parts_upload_urls), told.max_part_size
        if part_size is None or part_size < 1 or len(links) != -(-size // part_size):
            raise reading.unfit(f"{len(links)} links for {size} bytes in parts of {part_size}")
        if told.complete_upload_url is None:
            raise reading.unfit("no link to finish the upload")
        self._finishing[job] = told.complete_upload_url
        while len(self._finishing) > _REMEMBERED:
            self._finishing.popitem(last=False)
        return Done(PartsUpload(path, size, part_size, links, expires_at, {"job": job}))

    async def again(self, resource_id: str, upload: PartsUpload) -> Done[PartsUpload]:
        """Links are signed once."""
        raise self._lacks("begin another upload: the links of one are signed once", _UPLOAD)

    async def arrived(self, resource_id: str, upload: PartsUpload) -> Done[Mapping[int, str]]:
        """Only the store could tell, and only to whom it belongs."""
        raise self._lacks("only the sender knows which parts have arrived", _UPLOAD)

    async def finish(self, resource_id: str, upload: PartsUpload, etags: Sequence[str]) -> Answer[None]:
        """Have the store make one object of the parts; the job sees it within a minute and fetches it.

        Raises:
            NotFound: if this process did not begin the upload, and its job did not end well either: it is
                canceled then, for another upload of the same file may follow.
        """
        job = upload.handle["job"]
        link = self._finishing.get(job)
        promise = pending(TransferJob.parse(job), _UPLOAD, lambda: None)
        if link is None:
            return await self._over(promise)
        verdict = link_verdict(*await self._complete(link, etags))
        if verdict.outcome is Link.PASSING:
            raise TransientError(f"the object store failed: {verdict.detail}")
        # Finished by a request whose answer was lost, the store has forgotten the upload.
        if verdict.outcome not in {Link.FINE, Link.GONE}:
            raise Refused(f"the object store refused to finish the upload: {verdict.detail}")
        return promise

    async def abandon(self, resource_id: str, upload: PartsUpload) -> Done[None]:
        """Cancel the job; the store forgets the parts by itself some days later."""
        job = TransferJob.parse(upload.handle["job"])
        self._finishing.pop(upload.handle["job"], None)
        with contextlib.suppress(NotFound):  # forgotten
            await self._jobs.cancel(job.system, job.job_id)
        with contextlib.suppress(IriError):  # nobody asks its logs any more
            await self._transfers.forget(str(job))
        return Done(None)

    async def clear(self, resource_id: str, path: str, since: float) -> Done[None]:
        """Cancel the jobs that wait for uploads of this path: their scripts name it."""
        listed = await self._jobs.list(resource_id, offset=0, limit=1000, historical=False, names=True)
        for each in listed.value:
            if each.name == _INGRESS and not each.status.state.terminal:
                script = await self._jobs.script(resource_id, each.job_id)
                if f'"{path}"' in script:
                    await self._jobs.cancel(resource_id, each.job_id)
        return Done(None)

    async def link(self, resource_id: str, path: str) -> Pending[DownloadLink]:
        """A link to a copy of the file in the store, when a job has put it there.

        The job's script has the path without quotes, so a path that needs them is read through another one.
        """
        alias = "" if paths.needs_no_quotes(path) else await self._aliased(resource_id, path)
        body = {"path": alias or path}
        expires_at, reading, value = await self._ask(_DOWNLOAD, resource_id, body, {})
        url = _directives(reading, value).download_url
        if url is None:
            raise reading.unfit("no link to the file")
        link = DownloadLink(url, None, expires_at)
        job = replace(job_of(reading, resource_id, value), alias=alias)
        return pending(job, _DOWNLOAD, lambda: link)

    async def _aliased(self, resource_id: str, path: str) -> str:
        """A link of the file system that leads to a file; it goes with the logs of the transfer."""
        if why_not := why_no_s3(await self._systems.of(resource_id)):
            raise self._lacks(f"{why_not}; {_INSTEAD}", _DOWNLOAD)
        alias = posixpath.join(await self._systems.work(resource_id), f".iri_link_{uuid.uuid4().hex}")
        await self._files.symlink(resource_id, path, alias)
        return alias

    async def _ask(
        self, operation: str, resource_id: str, body: Mapping[str, Any], directives: Mapping[str, Any]
    ) -> tuple[float | None, Reading, object]:
        """Ask for a transfer; gives when its links expire, and the answer."""
        system = await self._systems.of(resource_id)
        if why_not := why_no_s3(system):
            raise self._lacks(f"{why_not}; {_INSTEAD}", operation)
        account = await self._systems.account(resource_id)
        method = system.data_operation.data_transfer
        since = time.time()
        reply = await self._session.send(
            Request(
                operation=operation,
                method="POST",
                path=f"/filesystem/{segment(resource_id, 'system')}/{operation}",
                replay=FILE_REPLAYS[operation],
                json={
                    **body,
                    **({"account": account} if account else {}),
                    "transferDirectives": {"transferMethod": "s3", **directives},
                },
            )
        )
        expires_at = since + method.ttl if method is not None and method.ttl else None
        return expires_at, Reading(self._session.label, operation), reply.value

    async def _complete(self, link: str, etags: Sequence[str]) -> tuple[int, bytes]:
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        xml = (
            '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{rows}</CompleteMultipartUpload>"
        )
        wire = self._session.links
        if wire is None:
            raise self._lacks("there is no wire to the object store", _UPLOAD)
        try:
            reply = await wire.post(link, xml.encode(), {"content-type": "application/xml"})
        except (NotSent, ReplyLost):
            raise TransientError("no answer from the object store as the upload was finished") from None
        return reply.status, reply.body

    async def _over(self, promise: Pending[None]) -> Done[None]:
        job = TransferJob.parse(promise.task_id)
        try:
            answer = await self._transfers.check(promise)
        except IriError as error:
            if error.transient:
                raise
            answer = promise
        if isinstance(answer, Done):
            return answer
        upload = PartsUpload("", 0, 1, (), None, {"job": promise.task_id})
        await self.abandon(job.system, upload)
        raise NotFound(
            "this upload was begun by another process, and nobody can finish it",
            facility=self._session.label,
            operation=_UPLOAD,
        )

    def _lacks(self, why: str, operation: str) -> NotOffered:
        return NotOffered(
            f"FirecREST does not offer that: {why}", facility=self._session.label, operation=operation
        )


def _directives(reading: Reading, value: object) -> DirectivesReply:
    """The links; releases before 2.4 tell them beside the job, others in an object of their own."""
    beside = reading.one(TransferReply, value)
    inside = reading.one(DirectivesReply, beside.transfer_directives)
    return inside if inside.complete_upload_url or inside.download_url else beside
