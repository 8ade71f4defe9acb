"""A Slurm of its own on loopback, from the distribution's packages: one node, and slurmrestd before it.

Debian's packages are slurmctld, slurmd, slurmrestd, slurm-client, slurm-wlm-basic-plugins,
slurm-wlm-jwt-plugin and munge. There is no accounting database: with one (and its MariaDB) the start would
take three times as long, and what slurmrestd 22.05 shows of it is wrong about exit codes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

USER = "games"  # in every Debian; its home takes no files, as those of projects' users may not either
VERSION = "v0.0.38"
_REST_USER = "nobody"  # slurmrestd must be neither root nor Slurm's own user
_PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "setpriv")
_PLUGINS = ("auth_jwt.so", "rest_auth_jwt.so", "openapi_v0_0_38.so")


def missing() -> str | None:
    """Why there can be no Slurm here; None if there can."""
    if os.geteuid() != 0:
        return "slurmd runs jobs as their users, so only root can start it"
    for program in _PROGRAMS:
        if _program(program) is None:
            return f"{program} is not installed"
    folders = [Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu")]
    for plugin in _PLUGINS:
        if not any((folder / "slurm-wlm" / plugin).exists() for folder in folders):
            return f"Slurm's plugin {plugin} is not installed"
    for user in ("slurm", "munge", USER, _REST_USER):
        try:
            pwd.getpwnam(user)
        except KeyError:
            return f"there is no user {user}"
    return None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"/usr/sbin:/sbin:{os.environ.get('PATH', '')}")


_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=slurm
AuthType={auth}
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={root}/jwt.key
CredType={cred}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld
SlurmdLogFile={root}/log/slurmd
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
KillWait=2
ReturnToService=2
GresTypes=gpu
NodeName=node NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=16 RealMemory=4000 Gres=gpu:4 State=UNKNOWN
PartitionName=batch Nodes=node Default=YES DefaultTime=10 MaxTime=INFINITE State=UP
PartitionName=short Nodes=node DefaultTime=1 MaxTime=1 State=UP
PartitionName=closed Nodes=node State=DOWN
"""


class RealSlurm:
    """The daemons, and what a test wants to do to them.

    Attributes:
        url: Of slurmrestd, without a version.
        user: Whom its tokens are for.
        work: A directory that jobs can write to.
        conf: The configuration, for Slurm's commands.
    """

    user = USER

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="slurm-"))
        self._root.chmod(0o755)
        self.work = self._root / "work"
        self.conf = self._root / "slurm.conf"
        self._key = secrets.token_bytes(32)
        self._ports = _free_ports(3)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{self._ports[2]}"

    def __enter__(self) -> Self:
        try:
            self._lay_out()
            self._start_munged()
            self.start_controller()
            self._start("slurmd", ("-D", "-N", "node"))
            self.start_rest()
            self.until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self._end_jobs()
        for name in ("slurmrestd", "slurmctld", "slurmd", "munged"):
            self._end(name, signal.SIGTERM)
        shutil.rmtree(self._root, ignore_errors=True)

    def token(self, user: str = USER, seconds: float = 3600.0) -> str:
        """A token as `scontrol token` makes it; one that has expired for less than 0 seconds."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + int(seconds), "sun": user}
        text = ".".join(
            _encoded(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, claims)
        )
        return f"{text}.{_encoded(hmac.new(self._key, text.encode(), hashlib.sha256).digest())}"

    def get(self, path: str) -> dict[str, Any]:
        """What slurmrestd answers the user, an error's body too."""
        headers = {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.token()}
        request = urllib.request.Request(f"{self.url}/slurm/{VERSION}/{path}", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def jobs(self, name_part: str = "") -> list[dict[str, Any]]:
        """The jobs that slurmctld knows, whose names have this in them."""
        return [job for job in self.get("jobs")["jobs"] if name_part in job["name"]]

    def overdue(self) -> str:
        """Start a job whose time is over at once; gives its id."""
        words = ["sbatch", "--parsable", f"--uid={self.user}", f"--chdir={self.work}", "--output=overdue"]
        job = self._run(*words, "--wrap=sleep 300").strip()
        _until(lambda: self.get(f"job/{job}")["jobs"][0]["job_state"] == "RUNNING", "a job does not start")
        self._run("scontrol", "update", f"jobid={job}", "endtime=now+1")
        return job

    @contextlib.contextmanager
    def reserved(self, name: str) -> Iterator[None]:
        """The whole machine is to be serviced tomorrow."""
        words = ["starttime=now+1day", "duration=60", "nodes=ALL", "users=root", "flags=MAINT,IGNORE_JOBS"]
        self._run("scontrol", "create", "reservation", f"reservationname={name}", *words)
        try:
            yield
        finally:
            self._run("scontrol", "delete", f"reservationname={name}")

    def kill_rest(self) -> None:
        """End slurmrestd without a chance to clean up."""
        self._end("slurmrestd", signal.SIGKILL)

    def start_rest(self) -> None:
        """Start slurmrestd, on the same port as before."""
        self._start(
            "slurmrestd",
            [
                *("-f", str(self._root / "slurmrestd.conf"), "-a", "rest_auth/jwt"),
                *("-s", f"openapi/{VERSION}", self.url.removeprefix("http://")),
            ],
            user=_REST_USER,
            variables={"SLURM_CONF": str(self._root / "slurmrestd.conf"), "SLURM_JWT": "daemon"},
        )
        _until(lambda: _listens(self._ports[2]), "slurmrestd does not listen")

    def stop_controller(self) -> None:
        """End slurmctld in good order: it writes down what it knows."""
        self._end("slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        """Start slurmctld, with what it wrote down."""
        self._start("slurmctld", ("-D",), user="slurm")
        _until(lambda: _listens(self._ports[0]), "slurmctld does not listen")

    def until_idle(self) -> None:
        """Wait until the node can take jobs."""
        _until(lambda: self.get("nodes")["nodes"][0]["state"] in ("idle", "mixed"), "the node is not ready")

    def _lay_out(self) -> None:
        ctld, slurmd, _ = self._ports
        common = {"root": self._root, "ctld_port": ctld, "slurmd_port": slurmd}
        socket_words = f"auth/munge\nAuthInfo=socket={self._root}/munge/socket"
        (self._root / "slurm.conf").write_text(_CONF.format(**common, auth=socket_words, cred="cred/munge"))
        (self._root / "slurmrestd.conf").write_text(_CONF.format(**common, auth="auth/jwt", cred="cred/none"))
        (self._root / "gres.conf").write_text(f"NodeName=node Name=gpu File={self._root}/gpu[0-3]\n")
        for number in range(4):
            (self._root / f"gpu{number}").touch()
        for folder, owner in {"munge": "munge", "state": "slurm", "log": "slurm", "spool": "root"}.items():
            (self._root / folder).mkdir()
            _give(self._root / folder, owner)
        self.work.mkdir()
        self.work.chmod(0o777)
        for path, content, owner in (
            (self._root / "munge" / "key", secrets.token_bytes(32), "munge"),
            (self._root / "jwt.key", self._key, "slurm"),
        ):
            path.touch(0o600)
            path.write_bytes(content)
            _give(path, owner)

    def _start_munged(self) -> None:
        folder = self._root / "munge"
        files = {
            "socket": "socket",
            "key-file": "key",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        words = ["-F", *(f"--{option}={folder / name}" for option, name in files.items())]
        self._start("munged", words, user="munge")
        _until((folder / "socket").exists, "munged does not start")

    def _start(
        self,
        name: str,
        words: Sequence[str],
        *,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        program = _program(name)
        assert program is not None
        as_user: list[str] = []
        if user is not None:
            entry = pwd.getpwnam(user)
            as_user = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SLURM_CONF": str(self._root / "slurm.conf")}
        with open(self._root / f"{name}.said", "ab") as said:
            # Whatever ends the tests ends the daemons; to Linux it is the end of the starting thread.
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *as_user, program, *words],
                env={**environment, **(variables or {})},
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _end_jobs(self) -> None:
        """No process of a job outlives the daemons."""
        if "slurmctld" not in self._running:
            return
        self._run("scancel", "--signal=KILL", f"--user={self.user}", check=False)
        self._run("scancel", f"--user={self.user}", check=False)
        ends = time.monotonic() + 10
        while self._run("squeue", "--noheader", f"--user={self.user}", check=False).strip():
            if time.monotonic() > ends:
                return
            time.sleep(0.1)

    def _run(self, *words: str, check: bool = True) -> str:
        """What one of Slurm's commands prints, given by root."""
        environment = {"PATH": "/usr/bin:/bin", "SLURM_CONF": str(self._root / "slurm.conf")}
        ran = subprocess.run(words, env=environment, timeout=20, check=check, capture_output=True, text=True)
        return ran.stdout


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _give(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(holds: Any, problem: str, seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, KeyError, ValueError):
            if holds():
                return
        if time.monotonic() > ends:
            raise TimeoutError(problem)
        time.sleep(0.05)
