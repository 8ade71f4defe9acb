"""From beamline to picture, as a Prefect flow.

``python prefect_flow.py --profile NAME --output DIR`` runs it, with a temporary server if there is no other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder that holds `tomography`

from prefect import flow, get_run_logger, runtime, task, unmapped

from iri_common import JobAttributes, JobSpec, ResourceSpec
from prefect_iri import IriFacility, job_table, run_job
from tomography.beamline import Exposure, expose
from tomography.picture import look
from tomography.plan import Reconstruction, Step


def job(step: Step) -> JobSpec:
    """A step of the plan in the words of the facility."""
    return JobSpec(
        name=step.name,
        executable=step.executable,
        arguments=step.arguments,
        directory=step.directory,
        stdout_path=step.stdout,
        stderr_path=step.stderr,
        resources=ResourceSpec(node_count=1),
        attributes=JobAttributes(duration=600),
    )


@task
def take_projections(output: Path) -> Exposure:
    """The instrument."""
    return expose(output)


@task
def make_directory(facility: IriFacility) -> str:
    """A place for this flow run: the same one when the run is tried again."""
    door = facility.get_client()
    area = door.directory or door.storage.locations(logical_name="scratch")[0].path
    directory = f"{area}/tomography-{runtime.flow_run.id}"
    door.files.mkdir(directory)
    return directory


@task(retries=2)
def upload(facility: IriFacility, source: str, target: str) -> None:
    """One file, whole or not at all."""
    facility.get_client().files.put(source, target)


@task
def look_at(facility: IriFacility, volume: str, output: Path) -> float:
    """The scientist: download the volume, compare checksums, draw the picture."""
    sha256 = facility.get_client().files.get(volume, output / "volume.npz").sha256
    picture = output / "picture.png"
    error = look(output / "volume.npz", picture, projections=output / "projections.npz", sha256=sha256)
    get_run_logger().info("%s: RMSE %.4f (bone = 1)", picture, error)
    return error


@flow
def tomography(profile: str, output: Path, parts: int = 4, python: str = "python3") -> float:
    """Reconstruct the slices side by side at the facility and look at the volume."""
    facility = IriFacility(profile=profile)  # or, with a token kept by Prefect: IriFacility.load("nersc")
    exposure = take_projections(output)
    plan = Reconstruction(
        make_directory(facility),
        parts=parts,
        python=python,
        projections=str(exposure.projections),
        slices=exposure.slices,
    )
    uploads = upload.map(unmapped(facility), list(plan.uploads), list(plan.uploads.values()))

    again = run_job.with_options(retries=1)  # a job that failed runs once more; a crash repeats nothing
    slices = again.map(unmapped(facility), [job(step) for step in plan.reconstruct], wait_for=uploads)
    volume = again.submit(facility, job(plan.assemble), wait_for=slices)

    job_table([each.result() for each in (*slices, volume)], facility=facility, key="tomography-jobs")
    return look_at(facility, plan.result, output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True, help="of the facility")
    parser.add_argument("--output", type=Path, default=Path("tomography"), help="directory on this side")
    parser.add_argument("--parts", type=int, default=4, help="reconstruction jobs, 1 to 16")
    parser.add_argument("--python", default="python3", help="at the facility, with numpy and scikit-image")
    given = parser.parse_args()
    tomography(given.profile, given.output, given.parts, given.python)
