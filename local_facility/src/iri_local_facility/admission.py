"""Which jobs the scheduler accepts, and with which defaults; refusals read like a scheduler's."""

from __future__ import annotations

import dataclasses

from .accounts import User
from .errors import Denied, Rejected
from .jobs import JobRequest
from .settings import Settings

_PROCESSES_PER_NODE = 64


class Admission:
    """Checks a request against the queues, the size of the machine and the user's rights."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def admit(self, user: User, request: JobRequest) -> JobRequest:
        """The request with defaults filled in and paths made real.

        Raises:
            Rejected: The machine or the queue cannot run this.
            Denied: A path or an account that is not the user's.
        """
        if request.process_count > request.node_count * _PROCESSES_PER_NODE:
            raise Rejected(f"Job submit failed: more than {_PROCESSES_PER_NODE} processes per node")
        queue = self._settings.queues.get(request.queue or "regular")
        if queue is None:
            known = ", ".join(self._settings.queues)
            raise Rejected(
                f"Job submit failed: invalid queue specified: {request.queue} (available: {known})"
            )
        if request.node_count > self._settings.nodes:
            raise Rejected(
                f"Job submit failed: requested node configuration is not available: "
                f"{request.node_count} nodes asked for, the resource has {self._settings.nodes}"
            )
        if request.node_count > queue.max_nodes:
            raise Rejected(f"Job submit failed: queue {queue.name} allows {queue.max_nodes} nodes at most")
        duration = request.duration or min(self._settings.default_duration, queue.max_duration)
        if duration > queue.max_duration:
            raise Rejected(f"Job submit failed: time limit of queue {queue.name} is {queue.max_duration} s")
        account = request.account or user.projects[0]
        if account not in user.projects:
            raise Rejected(
                f"Job submit failed: invalid account or account/queue combination specified: {account}"
            )
        _check_words(request)
        return dataclasses.replace(
            self._real_paths(user, request),
            queue=queue.name,
            account=account,
            duration=duration,
            name=request.name or request.executable.rsplit("/", 1)[-1] or "job",
        )

    def _real_paths(self, user: User, request: JobRequest) -> JobRequest:
        """Working directory from the home directory; files from the working directory, as a shell would."""
        areas = user.areas
        try:
            directory = areas.resolve(request.directory) if request.directory else areas.home

            def real(path: str | None) -> str | None:
                # Character devices such as /dev/null hold nothing: a job may use the one everybody uses.
                return path if path in (None, "/dev/null") else str(areas.resolve(path, base=directory))

            return dataclasses.replace(
                request,
                directory=str(directory),
                stdin=real(request.stdin),
                stdout=real(request.stdout),
                stderr=real(request.stderr),
            )
        except Denied as outside:
            raise Rejected(f"Job submit failed: {outside}") from None


def _check_words(request: JobRequest) -> None:
    words = [request.executable, *request.arguments, request.name, request.launcher]
    words += [request.pre_launch, request.post_launch, *request.environment, *request.environment.values()]
    if any(word is not None and "\0" in word for word in words):
        raise Rejected("Job submit failed: a NUL character cannot be passed to a process")
    if any(not name or "=" in name for name in request.environment):
        raise Rejected("Job submit failed: invalid name of an environment variable")
