"""A facility as a context manager, for tests and demos: a child process that is gone when its parent is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import urlencode

from .accounts import Accounts
from .asking import control
from .firecrest.testing import WithFirecrest
from .globus.testing import WithGlobus
from .orders import Kind, Options
from .s3m.testing import WithS3m
from .sense.testing import WithSense
from .slurm.testing import WithSlurm
from .state import state_of
from .superfacility.testing import WithSuperfacility

_START_TIMEOUT = 60.0  # a machine with other things to do takes half a minute; a death is seen at once
_STOP_TIMEOUT = 15.0


def issue_token(root: Path, user: str, lifetime: float | None) -> str:
    """A new token, written straight into the state of the facility at ``root``."""
    with state_of(root) as state:
        return Accounts(*state).issue(user, lifetime)


class LocalFacility(WithGlobus, WithFirecrest, WithSuperfacility, WithSlurm, WithS3m, WithSense):
    """A facility in a process of its own.

    Entering starts it; leaving stops it, ends its jobs and removes its files. If the parent dies, however it
    dies, the facility notices the end of the pipe between them and stops in good order.

    Attributes:
        url: Root of the server.
        base_url: The IRI API.
        token: A token of the default user that does not expire.
        root: Directory of the facility.
        home: Home directory of the default user; `scratch` likewise.
        client_id: Client of the token endpoint, with `client_secret`, at `token_url`.
        pid: The server's process.
        collection: Globus collection of the facility's files; its HTTPS server is `https_base`.
        globus_env: What makes the Globus SDK speak to this facility.
        firecrest_url: FirecREST v2; its tokens are those of `token_url`.
        superfacility_url: The Superfacility API; tokens for the signature of `superfacility_key` are at
            `superfacility_token_url`.
        slurm_url: What the paths of slurmrestd begin with, for `slurm_user` with `slurm_token`.
        s3m_url: What the paths of S3M begin with, for `s3m_token`.
        sense_url: SENSE; its Keycloak at `sense_token_url` knows `sense_user` by the `sense_password`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        nodes: int = 4,
        token_lifetime: float = 3600.0,
        size_limit: int | None = None,
        default_duration: int | None = None,
        kill_grace: float | None = None,
        submit_delay: float | None = None,
        key_lock: float | None = None,
        name: str | None = None,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
        site: str | None = None,
        s3: tuple[str, str, str] | None = None,
        collections: Mapping[str, str | os.PathLike[str]] | None = None,
        collection_root: str | os.PathLike[str] | None = None,
        data_access: bool = False,
        high_assurance: bool = False,
        rotate_refresh_tokens: bool = False,
        globus: LocalFacility | None = None,
        firecrest_scheduler: str | None = None,
        firecrest_min_token_ttl: float | None = None,
        firecrest_transfer_poll: float | None = None,
        firecrest_part_size: int | None = None,
        firecrest_account: bool = False,
        superfacility_delay: float | None = None,
        superfacility_retention: float | None = None,
        superfacility_cache: float | None = None,
        sense_step: float | None = None,
        stream_setup: float | None = None,
        slurm_versions: Iterable[int] = (),
        slurm_min_job_age: float | None = None,
        slurm: str | os.PathLike[str] | None = None,
    ) -> None:
        self._given_root = Path(root).resolve() if root is not None else None
        self._options = {
            "nodes": nodes,
            "token-lifetime": token_lifetime,
            "size-limit": size_limit,
            "default-duration": default_duration,
            "kill-grace": kill_grace,
            "submit-delay": submit_delay,
            "key-lock": key_lock,
            "name": name,
            "site": site,
            "s3": s3 and ",".join(s3),
            "collection-root": collection_root,
            "firecrest-scheduler": firecrest_scheduler,
            "firecrest-min-token-ttl": firecrest_min_token_ttl,
            "firecrest-transfer-poll": firecrest_transfer_poll,
            "firecrest-part-size": firecrest_part_size,
            "superfacility-delay": superfacility_delay,
            "superfacility-retention": superfacility_retention,
            "superfacility-cache": superfacility_cache,
            "sense-step": sense_step,
            "stream-setup": stream_setup,
            "slurm-min-job-age": slurm_min_job_age,
            "slurm": slurm,
        }
        flags = {
            "data-access": data_access,
            "high-assurance": high_assurance,
            "rotate-refresh-tokens": rotate_refresh_tokens,
            "firecrest-account": firecrest_account,
        }
        self._arguments = [f"--{flag}" for flag, wanted in flags.items() if wanted]
        self._arguments += [f"--without={feature}" for feature in without]
        self._arguments += [f"--collection={label}={place}" for label, place in (collections or {}).items()]
        self._arguments += [f"--slurm-version={version}" for version in slurm_versions]
        self._globus = globus
        self._port = port
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}
        self.root = self._given_root or Path()

    # -- life

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        if self._process is not None:
            raise RuntimeError("the facility is running already")
        if self._given_root is None and not self._ready:
            self.root = Path(tempfile.mkdtemp(prefix="iri-facility-")).resolve()
        state = self.root / ".facility"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        ready, log = state / "ready.json", state / "server.log"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "iri_local_facility", "serve", "--until-stdin-closes"]
        command += ["--root", str(self.root), "--port", str(self._port), "--ready-file", str(ready)]
        for option, value in self._options.items():
            if value is not None:
                command += [f"--{option}", str(value)]
        command += self._arguments
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=None if self._env is None else dict(self._env),
            )
        self._await_ready(ready, log)
        if self._globus is not None:
            self._globus.adopt(self)
        return self

    def _await_ready(self, ready: Path, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._reap_process()
                raise RuntimeError(f"the local facility did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.01)
        self._ready = json.loads(ready.read_text())
        # The same address after a restart: whoever knows the facility keeps knowing it.
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop the server and all jobs; remove the files unless the root was given."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT)
            self._process.kill()
            self._reap_process()
        if (self.root / ".facility" / "facility.db").exists():
            self._reap_jobs()
        if self._given_root is None and self._ready:
            _remove(self.root)
            self._ready = {}

    def kill(self) -> None:
        """Kill the server with SIGKILL; its jobs run on."""
        if self._process is not None:
            self._process.kill()
            self._reap_process()

    def restart(self, *, keep_jobs: bool = True) -> None:
        """Start the server anew at the same address: after `kill`, or in place of the one that runs.

        Args:
            keep_jobs: Whether running jobs survive, as they do when a facility's service fails; otherwise the
                server is stopped in good order first, which cancels them.
        """
        if keep_jobs:
            self.kill()
        elif self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STOP_TIMEOUT)
            self._reap_process()
        self.start()

    def _reap_process(self) -> None:
        assert self._process is not None
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(_STOP_TIMEOUT)
        self._process = None

    def _reap_jobs(self) -> None:
        """After a kill without a restart, nobody but us knows of the jobs."""
        from .scheduler import reap

        with state_of(self.root) as state:
            reap(*state)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # -- what it is

    @property
    def url(self) -> str:
        """Root of the server, ``http://127.0.0.1:<port>``."""
        return self._ready["url"]

    @property
    def base_url(self) -> str:
        """The IRI v2 API."""
        return self._ready["base_url"]

    @property
    def token(self) -> str:
        """A token of the default user; it does not expire."""
        return self._ready["token"]

    @property
    def client_id(self) -> str:
        """The OAuth client."""
        return self._ready["client_id"]

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return self._ready["client_secret"]

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return self._ready["token_url"]

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._ready["pid"]

    @property
    def user(self) -> str:
        """The default user."""
        return self._ready["user"]

    @property
    def home(self) -> Path:
        """Home directory of the default user."""
        return self.root / "home" / self.user

    @property
    def scratch(self) -> Path:
        """Scratch directory of the default user."""
        return self.root / "scratch" / self.user

    # -- seeing and upsetting it

    def new_token(self, user: str | None = None, lifetime: float | None = None) -> str:
        """A new token; ``lifetime`` in seconds, or ``None`` for one that does not expire."""
        return issue_token(self.root, user or self.user, lifetime)

    def new_client_secret(self) -> str:
        """Another `client_secret`; the one before is refused from now on, tokens that it got are not."""
        with state_of(self.root) as state:
            self._ready["client_secret"] = Accounts(*state).replace_client_secret()
        return self.client_secret

    def revoke(self, token: str) -> bool:
        """Make a token worthless; says whether it existed."""
        return self._control("POST", "/tokens/revoke", {"token": token})["revoked"]

    def requests(self, operation: str | None = None) -> list[dict[str, Any]]:
        """The requests the facility has seen, optionally of one operation (by its operationId)."""
        query = f"?{urlencode({'operation': operation})}" if operation else ""
        return self._control("GET", f"/requests{query}")

    def reset_requests(self) -> None:
        """Forget the requests seen so far."""
        self._control("DELETE", "/requests")

    def summary(self) -> dict[str, dict[str, int]]:
        """By operation, how often it was answered with which status."""
        return self._control("GET", "/summary")

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs as the scheduler knows them, with the processes and times that were real.

        ``attempts`` has an entry for each time it ran: nodes, start, end, how it ended.
        """
        return self._control("GET", "/jobs")

    def paths(self) -> list[dict[str, Any]]:
        """Every network path there ever was: how it stands, what was ``asked`` of it, what it ``left``."""
        return self._control("GET", "/paths")

    def order(self, kind: Kind, operations: str | list[str] = "*", **options: Unpack[Options]) -> str:
        """Order a fault and return its id; what there is to choose is said at `iri_local_facility.orders`.

        Args:
            kind: What happens.
            operations: The operations it strikes, by operationId; ``"*"`` for all.
            options: Whom and when it strikes, how often, and how.

        Raises:
            ValueError: The order makes no sense.
        """
        return self._control("POST", "/faults", {"kind": kind, "operations": operations, **options})["id"]

    def faults(self) -> list[dict[str, Any]]:
        """The orders, oldest first: ``id``, what was ordered, ``struck`` (how often), ``live``."""
        return self._control("GET", "/faults")

    def clear_faults(self, *fault_ids: str) -> None:
        """Take back these orders, or all; what they held up goes on."""
        for path in [f"/{fault_id}" for fault_id in fault_ids] or [""]:
            self._control("DELETE", f"/faults{path}")

    def incident(self, **facts: str) -> dict[str, Any]:
        """Declare an incident.

        Args:
            facts: ``resource`` (name or id), ``status``, ``type``, ``name``, ``description``, ``resolution``.
        """
        return self._control("POST", "/incidents", facts)

    def resolve_incident(self, incident_id: str, **facts: str) -> dict[str, Any]:
        """End an incident: ``status`` and ``resolution`` say how."""
        return self._control("POST", f"/incidents/{incident_id}/resolve", facts)

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        return control(self.url, method, path, body)


def _remove(root: Path) -> None:
    if sys.version_info >= (3, 12):
        shutil.rmtree(root, onexc=_insist)
    else:
        shutil.rmtree(root, onerror=_insist)


def _insist(function: Callable[[str], Any], path: str, _: Any) -> None:
    """A job may have taken away its own permissions."""
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), stat.S_IRWXU)
        os.chmod(path, stat.S_IRWXU)
        function(path)
