"""From beamline to picture, as a Parsl script.

``python parsl_script.py --profile NAME --output DIR`` asks the facility for one block of workers and runs all
steps in it. Parsl must be installed on both sides, beside Pythons of one version.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder that holds `tomography`

import parsl
from parsl import Config, bash_app
from parsl.app.errors import BashExitFailure
from parsl.dataflow.futures import AppFuture
from parsl.executors import HighThroughputExecutor

from iri_common import Facility
from parsl_iri import FacilityProvider
from tomography.beamline import expose
from tomography.picture import look
from tomography.plan import Reconstruction, Step


@bash_app
def shell(command, inputs=(), stdout=None, stderr=None):
    """A command line, run by a worker at the facility once its inputs are there."""
    return command


def run(step: Step, after: Sequence[AppFuture] = ()) -> AppFuture:
    """A step of the plan as a Parsl app."""
    command = shlex.join([step.executable, *step.arguments])
    return shell(command, inputs=after, stdout=step.stdout, stderr=step.stderr)


def finish(facility: Facility, step: Step, future: AppFuture) -> None:
    """Wait for a step; show what it said if it failed."""
    try:
        future.result()
    except BashExitFailure as failure:
        sys.exit(f"{step.name}: {failure}\n{facility.files.tail(step.stderr, lines=20).content}")
    print(f"{step.name}: done", flush=True)


def main(profile: str, output: Path, parts: int, python: str) -> None:
    """Reconstruct the slices side by side at the facility and look at the volume."""
    facility = Facility.from_profile(profile)
    area = facility.directory or facility.storage.locations(logical_name="scratch")[0].path
    directory = f"{area}/tomography-{uuid.uuid4().hex[:12]}"

    exposure = expose(output)
    plan = Reconstruction(
        directory, parts=parts, python=python, projections=str(exposure.projections), slices=exposure.slices
    )
    facility.files.mkdir(directory)
    for source, target in plan.uploads.items():
        facility.files.put(source, target)

    provider = FacilityProvider(
        profile,
        walltime="00:10:00",
        directory=directory,
        worker_init=f'export PATH="$(dirname "$(command -v {shlex.quote(python)})"):$PATH"',
    )
    config = Config(
        executors=[
            HighThroughputExecutor(
                label="facility",
                provider=provider,
                max_workers_per_node=parts,
                worker_logdir_root=directory,
                address="127.0.0.1",  # of this machine, as the facility's nodes can reach it
                # Workers read the keys of the connection from the run directory below, so both sides share
                # its file system. Where they do not: encrypted=False, on a network that you trust.
                encrypted=True,
            )
        ],
        run_dir=str(output / "runinfo"),
        strategy_period=1,
    )
    with parsl.load(config):
        slices = [run(step) for step in plan.reconstruct]
        volume = run(plan.assemble, after=slices)
        for step, future in zip([*plan.reconstruct, plan.assemble], [*slices, volume], strict=True):
            finish(facility, step, future)

    for name, block in provider.resources.items():
        print(f"{name}: {facility.jobs.wait(block.ref, timeout=60).describe()}\n  {block.ref}")
    sha256 = facility.files.get(plan.result, output / "volume.npz").sha256
    picture = output / "picture.png"
    error = look(output / "volume.npz", picture, projections=exposure.projections, sha256=sha256)
    print(f"{picture}: RMSE {error:.4f} (bone = 1)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True, help="of the facility")
    parser.add_argument("--output", type=Path, default=Path("tomography"), help="directory on this side")
    parser.add_argument("--parts", type=int, default=4, help="reconstructions side by side, 1 to 16")
    parser.add_argument("--python", default="python3", help="at the facility, with numpy and scikit-image")
    given = parser.parse_args()
    main(given.profile, given.output.resolve(), given.parts, given.python)
