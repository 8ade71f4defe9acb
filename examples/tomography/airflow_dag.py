"""From beamline to picture, as an Airflow DAG.

Put this folder where Airflow finds DAGs and its parent on PYTHONPATH, and make a connection of type ``iri``
(by default ``iri_default``) to the facility.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task

from airflow_provider_iri import IriHook, IriJobOperator
from tomography.plan import Reconstruction, Step

if TYPE_CHECKING:
    from airflow.sdk import XComArg

log = logging.getLogger(__name__)


def job(step: Step) -> dict[str, Any]:
    """A step of the plan in the words of the facility."""
    return {
        "name": step.name,
        "executable": step.executable,
        "arguments": list(step.arguments),
        "directory": step.directory,
        "stdout_path": step.stdout,
        "stderr_path": step.stderr,
        "resources": {"node_count": 1},
        "attributes": {"duration": 600},
    }


@task(show_return_value_in_logs=False)
def expose() -> list[dict[str, Any]]:
    """The instrument: take the projections, bring them to the facility, plan the jobs."""
    from tomography.beamline import expose as take

    context = get_current_context()
    params = context["params"]
    facility = IriHook(params["connection"]).facility

    exposure = take(Path(params["output"]).expanduser())
    area = facility.directory or facility.storage.locations(logical_name="scratch")[0].path
    plan = Reconstruction(
        f"{area}/tomography-{context['dag_run'].run_after:%Y%m%dT%H%M%S%f}",
        parts=params["parts"],
        python=params["python"],
        projections=str(exposure.projections),
        slices=exposure.slices,
    )
    facility.files.mkdir(plan.directory)
    for source, target in plan.uploads.items():
        facility.files.put(source, target)
    context["ti"].xcom_push("assemble", job(plan.assemble))
    context["ti"].xcom_push("volume", plan.result)
    return [job(step) for step in plan.reconstruct]


@task
def look(volume: str) -> float:
    """The scientist: download the volume and look at it."""
    from tomography.picture import look as draw

    params = get_current_context()["params"]
    output = Path(params["output"]).expanduser()
    sha256 = IriHook(params["connection"]).facility.files.get(volume, output / "volume.npz").sha256
    picture = output / "picture.png"
    projections = output / "projections.npz"
    error = draw(output / "volume.npz", picture, projections=projections, sha256=sha256)
    log.info("%s: RMSE %.4f (bone = 1)", picture, error)
    return error


with DAG(
    "tomography",
    schedule=None,
    tags=["iri"],
    default_args={"retries": 1},
    params={
        "connection": Param("iri_default", type="string", description="to the facility"),
        "parts": Param(4, type="integer", minimum=1, maximum=16, description="reconstruction jobs"),
        "output": Param("~/tomography", type="string", description="directory on this side"),
        "python": Param("python3", type="string", description="with numpy and scikit-image, over there"),
    },
):
    facility = "{{ params.connection }}"
    jobs: XComArg = expose()
    parts = IriJobOperator.partial(task_id="reconstruct", iri_conn_id=facility).expand(job=jobs)
    whole = IriJobOperator(task_id="assemble", iri_conn_id=facility, job=jobs["assemble"])
    parts >> whole >> look(jobs["volume"])
