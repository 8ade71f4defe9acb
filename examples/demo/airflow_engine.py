"""Airflow's turn in the demo: a site of its own, the DAG, and what became of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from airflow_site import FINISHED, AirflowSite

DAG = "tomography"
FOLDER = Path(__file__).resolve().parent.parent / "tomography"


class AirflowEngine:
    """Boots in the background while other engines work; then runs the DAG.

    Args:
        environment: For Airflow's processes; the profile "demo" in it is where the DAG's connection leads.
        output: Directory for the picture and the log.
        parts: Reconstruction jobs.
        python: The facility's.
    """

    def __init__(self, environment: Mapping[str, str], output: Path, parts: int, python: str) -> None:
        connection = {"conn_type": "iri", "extra": {"profile": "demo"}}
        env = {**environment, "PYTHONPATH": str(FOLDER.parent)}
        self._site = AirflowSite(FOLDER, connections={"iri_default": connection}, env=env)
        self._conf = {"parts": parts, "output": str(output.resolve()), "python": python}
        self._log = output / "log.txt"
        self._run = ""
        self._trouble: BaseException | None = None
        self._booting = threading.Thread(target=self._boot, daemon=True)

    def boot(self) -> None:
        """Begin to start the components."""
        self._booting.start()

    def start(self) -> AirflowEngine:
        """Trigger the DAG once everything is up."""
        self._booting.join()
        if self._trouble is not None:
            raise RuntimeError(f"Airflow did not start: {self._trouble}")
        self._run = self._site.trigger(DAG, self._conf)
        return self

    def poll(self) -> int | None:
        """0 or 1 when the DAG run has ended."""
        state = self._site.call("GET", f"/dags/{DAG}/dagRuns/{self._run}")["state"]
        if state not in FINISHED:
            return None
        self._log.write_text(self._told())
        return 0 if state == "success" else 1

    def stop(self) -> None:
        """End every process of it."""
        if self._booting.is_alive():
            self._booting.join()  # bounded by the site's own limit; what it started must be known to be ended
        self._site.stop()

    def _boot(self) -> None:
        try:
            self._site.start()
        except BaseException as error:
            self._trouble = error

    def _told(self) -> str:
        parts: list[str] = []
        for task in sorted(self._site.tasks(DAG, self._run), key=lambda each: each["start_date"] or ""):
            index = task["map_index"]
            name = task["task_id"] + (f"[{index}]" if index >= 0 else "")
            parts.append(f"== {name}: {task['state']}")
            if task["try_number"]:
                log = self._site.log(
                    DAG, self._run, task["task_id"], try_number=task["try_number"], map_index=index
                )
                parts.append(log)
        return os.linesep.join(parts)
