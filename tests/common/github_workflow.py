"""Workflow files for the runner of these tests: jobs in order, legs of a matrix, some of GitHub's actions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from github_actions import ROOT, Done, Runner, evaluated

FETCHED = ("actions/checkout@", "actions/setup-python@")  # what they bring is here already


class Workflow:
    """One run of a workflow; every workflow job, and every leg of a matrix, has a machine of its own.

    Args:
        file: The workflow.
        place: Where its machines are.
        contexts: ``vars`` and ``secrets``.
        run_id: Of the run.
    """

    def __init__(self, file: Path, place: Path, contexts: Mapping[str, Any], run_id: str) -> None:
        self.said: dict[Any, Any] = yaml.safe_load(file.read_text())
        self.place = place
        self.run_id = run_id
        self.contexts = dict(contexts)
        self.artifacts = place / "artifacts"
        self.done: dict[str, list[Done]] = {}

    def run(self) -> None:
        """All jobs, each after those that it needs."""
        for name, job in self.said["jobs"].items():
            needs = job.get("needs")
            assert needs is None or needs in self.done, "out of order"
            legs = self._legs(job)
            with ThreadPoolExecutor(len(legs)) as side_by_side:
                begun = [
                    side_by_side.submit(self._run_job, f"{name}-{number}", name, job, leg)
                    for number, leg in enumerate(legs)
                ]
            for each in begun:
                each.result()

    def _legs(self, job: Mapping[str, Any]) -> list[Any]:
        return job["strategy"]["matrix"]["include"] if "strategy" in job else [None]

    def _run_job(self, machine_name: str, name: str, job: Mapping[str, Any], leg: Any) -> None:
        machine = Runner(self.place / machine_name, run_id=self.run_id, workflow=self.said["name"], job=name)
        shutil.copytree(ROOT / "examples", machine.workspace / "examples")
        contexts: dict[str, Any] = {**self.contexts, "github": machine.github, "matrix": leg, "steps": {}}
        env = {word: evaluated(text, contexts) for word, text in self.said["env"].items()}
        contexts["env"] = env
        for number, step in enumerate(self._steps(job, machine, contexts)):
            machine.github["action"] = step.get("id") or f"__self_{number}"
            given = {word: evaluated(text, contexts) for word, text in step.get("with", {}).items()}
            if "run" in step:
                own = {word: evaluated(text, contexts) for word, text in step.get("env", {}).items()}
                done = machine.bash(evaluated(step["run"], contexts), {**env, **own})
            else:
                assert step["uses"] == "./"
                done = machine.action(given, matrix=leg, env=env)
            assert done.code == 0, done.log
            self.done.setdefault(name, []).append(done)
            contexts["steps"][step.get("id", "")] = {"outputs": done.outputs}

    def _steps(self, job: Mapping[str, Any], machine: Runner, contexts: Any) -> Iterator[dict[str, Any]]:
        """The steps that do something; artifacts travel, installations are here already."""
        for step in job["steps"]:
            uses, given = step.get("uses", ""), step.get("with", {})
            if uses.startswith("actions/upload-artifact@"):
                target = self.artifacts / given["name"]
                target.mkdir(parents=True)
                shutil.copy(machine.workspace / given["path"], target)
            elif uses.startswith("actions/download-artifact@"):
                shutil.copytree(
                    self.artifacts / given["name"], machine.workspace / given["path"], dirs_exist_ok=True
                )
            elif not uses.startswith(FETCHED) and not step.get("run", "").startswith("pip install"):
                yield step
