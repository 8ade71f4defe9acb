"""Airflow on a laptop: the real components, in a temporary home, on loopback, gone without a trace.

``airflow standalone`` will not do: its log servers listen on every interface, and ending it leaves children.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from keeper import Keeper

if TYPE_CHECKING:
    import httpx

COMPONENTS = {
    "api-server": ["--host", "127.0.0.1", "--workers", "1"],
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
}
"""The log servers are left out: the API server reads the log files, they are on this machine."""

FINISHED = {"success", "failed"}
PATIENCE = 60.0  # seconds for a request to get its turn at the database


class AirflowSite:
    """An Airflow of one's own: api-server, scheduler, dag-processor and triggerer as separate processes.

    Leaving ends them all and removes the home. If the parent dies, however it dies, they end as well.

    Example:
        >>> with AirflowSite("dags", connections={"iri_default": {"conn_type": "iri", "host": url}}) as site:
        ...     run = site.trigger("tomography", {"parts": 4})
        ...     site.wait("tomography", run)

    Args:
        dags: The folder with the DAG files.
        connections: By id, in the words of Airflow's connections; given to the components as environment.
        env: More environment for them.
        parallelism: Tasks at a time. More than 4 make SQLite refuse writes ("database is locked").
    """

    def __init__(
        self,
        dags: str | Path,
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        parallelism: int = 4,
    ) -> None:
        self._dags = Path(dags).resolve()
        self._connections = dict(connections or {})
        self._more_env = dict(env or {})
        self._parallelism = parallelism
        self._keepers: dict[str, Keeper] = {}
        self._client: Any = None
        self.home = Path()
        self.url = ""

    # -- life ---------------------------------------------------------------------------------------------

    def start(self, timeout: float = 120.0) -> Self:
        """Make the home and the database, start the components, wait until all are well."""
        import httpx

        self.home = Path(tempfile.mkdtemp(prefix="airflow-site-")).resolve()
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.env = self._environment(port)
        try:
            self._run("db", "migrate")
            for name in COMPONENTS:
                self.start_component(name)
            # Without proxies: an environment that has one configured must not send loopback through it.
            self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=30.0)
            self._until(self._well, timeout, "Airflow did not get ready")
            token = self._client.get("/auth/token").raise_for_status().json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process and remove the home."""
        if self._client is not None:
            self._client.close()
        for keeper in self._keepers.values():
            keeper.tell()  # all at once: each has its time of grace
        for keeper in self._keepers.values():
            keeper.stop()
        self._keepers.clear()
        if self.home != Path():
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start_component(self, name: str, alias: str | None = None) -> None:
        """Start one component under a keeper, which sees to it that nothing of it outlives us.

        Args:
            name: Of the component.
            alias: What :meth:`stop_component` calls it, where there are two of a kind.
        """
        command = [sys.executable, "-m", "airflow", name, *COMPONENTS[name]]
        if name == "api-server":
            command += ["--port", self.url.rpartition(":")[2]]
        alias = alias or name
        self._keepers[alias] = Keeper(command, self.env, self.home / f"{alias}.log", cwd=self.home)

    def stop_component(self, name: str) -> None:
        """End one component with all its children."""
        self._keepers.pop(name).stop()

    def kill_component(self, name: str) -> None:
        """End one component with all its children, and no time to say a word."""
        import psutil

        for process in psutil.Process(self.keeper_pid(name)).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # the keeper does the same, once it sees it
                process.kill()
        self.stop_component(name)

    def keeper_pid(self, name: str) -> int:
        """The process above one component."""
        return self._keepers[name].pid

    def _environment(self, port: int) -> dict[str, str]:
        settings = {
            "CORE__DAGS_FOLDER": self._dags,
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": self._parallelism,
            "CORE__LOAD_EXAMPLES": False,
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
            "CORE__TEST_CONNECTION": "Enabled",
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "API__HOST": "127.0.0.1",
            "API__PORT": port,
            "API__BASE_URL": self.url,
            "API__WORKERS": 1,
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),  # without it each process makes up its own
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "LOGGING__BASE_LOG_FOLDER": self.home / "logs",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 10,
            "DAG_PROCESSOR__PARSING_PROCESSES": 1,
            "USAGE_DATA_COLLECTION__ENABLED": False,
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        env |= {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
        env |= {"AIRFLOW_HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state")}
        env |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        for conn_id, words in self._connections.items():
            env[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(words)
        return env | self._more_env

    def _run(self, *arguments: str) -> None:
        log = self.home / "set-up.log"
        with log.open("ab") as output:
            code = subprocess.call(
                [sys.executable, "-m", "airflow", *arguments], stdout=output, stderr=output, env=self.env
            )
        if code:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{log.read_text(errors='replace')}")

    def _well(self) -> bool:
        import httpx

        for name, keeper in self._keepers.items():
            if keeper.poll() is not None:
                log = (self.home / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"the {name} of Airflow ended:\n{log[-4000:]}")
        try:
            health = self._client.get("/api/v2/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return False
        return all(part.get("status") == "healthy" for part in health.values())

    # -- use ----------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One request to the REST API below ``/api/v2``.

        Raises:
            RuntimeError: if it is refused.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            reply = self._client.request(method, f"/api/v2{path}", json=body, params=query)
            if time.monotonic() > deadline or not _out_of_turn(reply):
                break
        if reply.is_error:
            raise RuntimeError(f"{method} {path}: HTTP {reply.status_code} {reply.text[:2000]}")
        return reply.json() if reply.content else None

    def await_dag(self, dag_id: str, timeout: float = 60.0) -> None:
        """Wait until a DAG has been read; tells import errors."""

        def known() -> bool:
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors:
                raise RuntimeError("\n".join(each["stack_trace"] for each in errors))
            return any(each["dag_id"] == dag_id for each in self.call("GET", "/dags", limit=100)["dags"])

        self._until(known, timeout, f"the DAG {dag_id} was not found")

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run; gives its id."""
        self.await_dag(dag_id)
        body = {"logical_date": None, "conf": dict(conf or {})}
        return self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]

    def wait(self, dag_id: str, run_id: str, timeout: float = 300.0) -> str:
        """Wait for the end of a run; "success" or "failed"."""
        state = ""

        def finished() -> bool:
            nonlocal state
            state = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return state in FINISHED

        self._until(finished, timeout, f"{dag_id} {run_id} did not end")
        return state

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task; "name[index]" where a task is mapped."""
        return {
            _name(each["task_id"], each["map_index"]): each["state"] for each in self.tasks(dag_id, run_id)
        }

    def await_task(self, dag_id: str, run_id: str, task: str, *states: str, timeout: float = 60.0) -> str:
        """Wait until a task has one of these states; gives it."""

        def reached() -> bool:
            return self.task_states(dag_id, run_id).get(task) in states

        self._until(reached, timeout, f"{dag_id} {run_id} {task} did not become {' or '.join(states)}")
        return str(self.task_states(dag_id, run_id)[task])

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """The log of one try, as the user interface shows it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, map_index=map_index, full_content=True)["content"]
        return "\n".join(_line(each) for each in content)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """One value that a task left."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, map_index=map_index, deserialize=True)["value"]

    def clear(self, dag_id: str, run_id: str, *task_ids: str, keep: bool = False) -> None:
        """Have tasks done afresh, as a person would.

        Args:
            dag_id: The DAG.
            run_id: Its run.
            task_ids: The tasks.
            keep: What they remember, too; before Airflow 3.4, which asks, they always do.
        """
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        if keep and "keep_task_state" in self._client.get("/openapi.json").text:
            body["keep_task_state"] = True
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int = -1) -> None:
        """Mark a task "failed" or "success", as a person would."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call("PATCH", path, {"new_state": state}, map_index=map_index)

    def _until(self, true: Callable[[], bool], timeout: float, otherwise: str) -> None:
        deadline = time.monotonic() + timeout
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{otherwise} within {timeout:.0f} s")
            time.sleep(0.25)


def _name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def _out_of_turn(reply: httpx.Response) -> bool:
    """Whether SQLite let nothing be written, for others that wrote; on a busy machine it happens."""
    said = reply.text  # Airflow 3.2 says no more than the second
    return reply.status_code == 500 and ("Database error" in said or said == "Internal Server Error")


def _line(entry: Mapping[str, Any] | str) -> str:
    if isinstance(entry, str):
        return entry
    detail = entry.get("error_detail") or []
    return "\n".join(
        [entry.get("event", ""), *(f"{each['exc_type']}: {each['exc_value']}" for each in detail)]
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
