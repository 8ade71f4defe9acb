"""Batch scripts as jobs: inline or a file beside the DAG, templated, their directives understood."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_iri import IriArrayOperator, IriJobOperator
from iri_common import JobSpec, UsageError

SCRIPT = """\
#!/bin/sh
#SBATCH --nodes=2
#SBATCH --time=5
echo "{{ params.word }} $1"
"""


def jobs(facility, name: str) -> list[dict[str, Any]]:
    return [each for each in facility.jobs() if each["name"].startswith(name + ".")]


def rendered(operator: Any, **params: Any) -> Any:
    operator.render_template_fields({"params": params})
    return operator


@pytest.mark.parametrize("end", [".sh", ".sbatch", ".pbs", None])
def test_a_script_runs_with_what_its_lines_ask_for(demo, task, tmp_path: Path, capsys, end) -> None:
    name, script = f"t{uuid.uuid4().hex[:8]}", SCRIPT
    if end:
        (tmp_path / f"fit{end}").write_text(SCRIPT)
        script = f"fit{end}"
    words = {"name": name, "arguments": ["{{ params.more }}"], "attributes": {"duration": 60}}
    with DAG("scripts", schedule=None, template_searchpath=str(tmp_path)):
        operator = IriJobOperator(task_id="fit", script=script, job=words)
    assert task.execute(rendered(operator, word="hello", more="you"))["state"] == "completed"
    (ran,) = jobs(demo, name)
    assert (ran["node_count"], ran["duration"]) == (2, 60)
    assert "hello you" in capsys.readouterr().out


def test_a_file_s_name_in_the_job_is_no_template() -> None:
    words = {"executable": "./run.sh", "arguments": ["fit.sbatch", "{{ params.word }}"]}
    with DAG("scripts", schedule=None):
        operator = rendered(IriJobOperator(task_id="fit", job=words), word="x")
    assert operator.job == {"executable": "./run.sh", "arguments": ["fit.sbatch", "x"]}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({}, "needs one: job, or script"),
        ({"script": "echo\n"}, "script does not say what runs it"),
        ({"script": "#!/bin/sh\n#SBATCH --mail-user=me\n"}, "script, line 2: .*no field for --mail-user"),
        ({"script": "#!/bin/sh\n", "job": {"executable": "x"}}, "not both"),
        ({"script": "#!/bin/sh\n", "escalate": {"duration": 2}}, "escalate needs a duration"),
    ],
)
def test_a_script_with_a_mistake_fails_the_parsing_of_the_dag(words: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        IriJobOperator(task_id="fit", **words)


def test_what_a_file_hides_fails_the_task_for_good(demo, task, tmp_path: Path) -> None:
    (tmp_path / "fit.pbs").write_text("#!/bin/sh\n#PBS -l vmem=1gb\n")
    with DAG("scripts", schedule=None, template_searchpath=str(tmp_path)):
        operator = rendered(IriJobOperator(task_id="fit", script="fit.pbs"))
    with pytest.raises(AirflowFailException, match=r"fit.pbs, line 2: .*no field for vmem"):
        task.execute(operator)
    assert not task.store


def test_a_script_in_place_of_a_spec_s_own_program_fails_the_task_for_good(demo, task) -> None:
    with pytest.raises(AirflowFailException, match="not both"):
        task.execute(IriJobOperator(task_id="fit", script="#!/bin/sh\n", job=JobSpec(executable="x")))


def test_an_array_of_a_script() -> None:
    operator = IriArrayOperator(task_id="fit", script="#!/bin/sh\n#SBATCH -N 2\n", inputs=["a", "b"])
    asked = operator._asked()
    assert (asked.resources.node_count, asked.attributes.array) == (2, "0-1")
