"""The science of the example workflow: its numbers, its programs as processes, its complaints."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from skimage.transform import iradon

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
if str(EXAMPLES) not in sys.path:
    sys.path.insert(0, str(EXAMPLES))

from tomography import beamline, picture  # noqa: E402
from tomography.plan import SLICES, Reconstruction, shares  # noqa: E402

JOBS = EXAMPLES / "tomography" / "jobs"
PNG = b"\x89PNG\r\n\x1a\n"


def run(step) -> subprocess.CompletedProcess:
    return subprocess.run(
        [step.executable, *step.arguments],
        cwd=step.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def program(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(JOBS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@dataclasses.dataclass
class Site:
    plan: Reconstruction
    exposure: beamline.Exposure
    printed: dict[str, str]

    @property
    def sha256(self) -> str:
        return self.printed["assemble"].split()[-1]

    @property
    def volume(self) -> np.ndarray:
        with np.load(self.plan.result) as data:
            return data["density"]


def carry_out(plan: Reconstruction, exposure: beamline.Exposure) -> Site:
    Path(plan.directory).mkdir()
    for local, remote in plan.uploads.items():
        shutil.copyfile(local, remote)
    printed = {}
    for step in [*plan.reconstruct, plan.assemble]:
        done = run(step)
        assert (done.returncode, done.stderr) == (0, ""), step.name
        assert Path(step.output).is_file()
        printed[step.name] = done.stdout
    return Site(plan, exposure, printed)


@pytest.fixture(scope="module")
def exposure(tmp_path_factory) -> beamline.Exposure:
    return beamline.expose(tmp_path_factory.mktemp("beamline"), seed=0)


@pytest.fixture(scope="module")
def site(tmp_path_factory, exposure) -> Site:
    """The facility after the whole workflow."""
    plan = Reconstruction(
        directory=str(tmp_path_factory.mktemp("facility") / "tomo"),
        python=sys.executable,
        projections=str(exposure.projections),
    )
    return carry_out(plan, exposure)


# The plan


@given(st.integers(1, 200).flatmap(lambda slices: st.tuples(st.just(slices), st.integers(1, slices))))
@example((SLICES, 4))
@example((1, 1))
@example((16, 5))
def test_shares_cover_every_slice_exactly_once(of):
    slices, parts = of
    found = shares(slices, parts)
    assert len(found) == parts
    assert [index for share in found for index in share] == list(range(slices))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("parts", [0, -1, SLICES + 1])
def test_a_plan_with_an_empty_share_is_refused(parts):
    with pytest.raises(ValueError, match="choose 1 to 16"):
        Reconstruction("/scratch/alice/tomo", parts=parts)


def test_a_plan_in_a_relative_directory_is_refused():
    with pytest.raises(ValueError, match="absolute"):
        Reconstruction("tomo")


def test_the_plan_in_full():
    plan = Reconstruction("/scratch/alice/tomo/", parts=2, projections="here/scan.npz")
    at = "/scratch/alice/tomo"
    assert {Path(local).name: remote for local, remote in plan.uploads.items()} == {
        "scan.npz": f"{at}/projections.npz",
        "reconstruct.py": f"{at}/reconstruct.py",
        "assemble.py": f"{at}/assemble.py",
    }
    _, second = plan.reconstruct
    assert (second.name, second.executable) == ("reconstruct-1", "python3")
    assert second.arguments == (
        f"{at}/reconstruct.py",
        f"{at}/projections.npz",
        f"{at}/part-1.npz",
        "--slices",
        "8:16",
    )
    assert (second.stdout, second.stderr) == (f"{at}/reconstruct-1.out", f"{at}/reconstruct-1.err")
    assert plan.assemble.arguments == (
        f"{at}/assemble.py",
        f"{at}/part-0.npz",
        f"{at}/part-1.npz",
        "--output",
        f"{at}/volume.npz",
    )
    assert plan.assemble.output == plan.result == f"{at}/volume.npz"


def test_the_plan_is_light_enough_for_a_dag_file():
    code = "import sys, tomography.plan; print({'numpy', 'skimage', 'iri_common'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=EXAMPLES, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"


# The beamline


def test_every_upload_stays_below_the_limit(site):
    for local in site.plan.uploads:
        assert Path(local).stat().st_size < 5 * 1024 * 1024
    assert Path(site.plan.result).stat().st_size < 5 * 1024 * 1024


def test_projections_are_optical_depths(exposure):
    with np.load(exposure.projections) as data:
        projections, angles = data["projections"], data["angles"]
    assert projections.shape == (SLICES, 180, beamline.PIXELS)
    assert projections.dtype == np.float32
    assert np.isfinite(projections).all()
    assert (angles[0], angles[-1]) == (0, 179)
    # Past the sample every detector pixel sees the open beam: no depth, only the noise of its photons.
    air = projections[0, :, :8]
    assert abs(air.mean()) < 0.002
    assert air.std() == pytest.approx(beamline.PHOTONS**-0.5, rel=0.1)
    # No projection angle gains or loses matter.
    assert np.ptp(projections.sum(axis=2), axis=1).max() < 0.03 * projections.sum(axis=2).max()


def test_the_same_seed_gives_the_same_bytes(tmp_path, exposure):
    again = beamline.expose(tmp_path / "again", seed=0)
    other = beamline.expose(tmp_path / "other", seed=1)
    assert again.projections.read_bytes() == exposure.projections.read_bytes()
    assert other.projections.read_bytes() != exposure.projections.read_bytes()


def test_a_file_too_large_to_upload_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(beamline, "UPLOAD_LIMIT", 1000)
    monkeypatch.setattr(beamline, "sample", lambda: np.zeros((1, 32, 32), np.float32))
    with pytest.raises(ValueError, match="one upload takes less than 1000"):
        beamline.expose(tmp_path)


def test_exposure_knows_its_shares(exposure):
    assert exposure.shares(4) == [range(0, 4), range(4, 8), range(8, 12), range(12, 16)]


def test_four_times_the_light_halves_the_noise():
    density = beamline.sample(slices=1, pixels=96)

    def noise(photons: float) -> float:
        clean, angles = beamline.project(density, photons=1e14)
        seen, _ = beamline.project(density, photons=photons, seed=3)
        return float(np.std(iradon((seen - clean)[0].T, theta=angles)))

    assert noise(4_000) / noise(16_000) == pytest.approx(2.0, rel=0.05)


# The jobs, as processes


def test_each_job_prints_one_line(site):
    for name, printed in site.printed.items():
        assert printed.count("\n") == 1, name
    assert re.match(r"reconstructed slices 4:8 of 16 from 180 angles", site.printed["reconstruct-1"])
    assert re.match(r"assembled 16 slices from 4 parts, sha256 [0-9a-f]{64}$", site.printed["assemble"])


def test_nothing_half_written_is_left(site):
    expected = {*map(Path, site.plan.uploads.values()), Path(site.plan.result)}
    expected |= {Path(step.output) for step in site.plan.reconstruct}
    assert set(Path(site.plan.directory).iterdir()) == expected


def test_the_volume_does_not_depend_on_the_number_of_jobs(site, tmp_path):
    plan = dataclasses.replace(site.plan, directory=str(tmp_path / "tomo"), parts=3)
    assert carry_out(plan, site.exposure).sha256 == site.sha256


def test_the_reconstruction_is_good_and_better_than_doing_nothing(site):
    truth = beamline.sample()

    def back_project(projections: np.ndarray, angles: np.ndarray, how: str | None) -> np.ndarray:
        return np.stack([iradon(layer.T, theta=angles, filter_name=how) for layer in projections])

    with np.load(site.exposure.projections) as data:
        blurred = back_project(data["projections"], data["angles"], None)
    blurred *= (blurred * truth).sum() / (blurred**2).sum()
    noiseless = back_project(*beamline.project(truth, photons=1e14), "shepp-logan") / beamline.UNIT_DEPTH

    found, limit, unfiltered, empty = (
        picture.rmse(volume, truth) for volume in (site.volume, noiseless, blurred, np.zeros_like(truth))
    )
    assert limit < found < 0.05
    assert found < unfiltered / 4 < empty / 4

    # What the README tells is what is computed.
    told = re.findall(r"\| (0\.\d{3}) \|", (EXAMPLES / "tomography" / "README.md").read_text())
    assert [float(number) for number in told] == pytest.approx([found, limit, unfiltered, empty], abs=6e-4)


def test_slices_in_the_wrong_order_show(site):
    truth = beamline.sample()
    right = picture.rmse(site.volume, truth)
    assert picture.rmse(site.volume[::-1], truth) > 2 * right
    assert picture.rmse(np.roll(site.volume, 1, axis=0), truth) > 2 * right


@pytest.fixture
def scan(tmp_path) -> Path:
    """A small file of projections that is in order."""
    path = tmp_path / "scan.npz"
    write_scan(path)
    return path


def write_scan(path: Path, **changes) -> None:
    arrays = {"projections": np.zeros((2, 6, 16), np.float32), "angles": np.arange(6.0), "unit_depth": 0.1}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})


def complains(done: subprocess.CompletedProcess, output: Path, line: str) -> None:
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert re.search(line, done.stderr), done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"projections": np.zeros((6, 16))},
            r"^reconstruct: .*projections \(6, 16\) must be \(slices, angles",
        ),
        ({"angles": np.arange(5.0)}, r"angles \(5,\) one per projection"),
        ({"angles": None}, r"lacks angles$"),
        ({"projections": np.full((2, 6, 16), np.nan)}, r"must be finite"),
        ({"projections": np.full((2, 6, 16), "dark")}, r"must be real numbers$"),
    ],
    ids=["flat", "angles", "lacks", "nan", "words"],
)
def test_reconstruct_refuses_a_wrong_scan(tmp_path, changes, line):
    write_scan(tmp_path / "wrong.npz", **changes)
    done = program("reconstruct.py", tmp_path / "wrong.npz", tmp_path / "out.npz", "--slices", "0:1")
    complains(done, tmp_path / "out.npz", line)


def test_reconstruct_refuses_a_missing_or_damaged_file(tmp_path, scan):
    out = tmp_path / "out.npz"
    complains(program("reconstruct.py", tmp_path / "no.npz", out, "--slices", "0:1"), out, "no such file")
    scan.write_bytes(scan.read_bytes()[:-40])
    complains(program("reconstruct.py", scan, out, "--slices", "0:1"), out, "not an .npz file, or cut short")


@pytest.mark.parametrize("wanted", ["1:3", "1:1", "all", "-1:1"])
def test_reconstruct_refuses_slices_that_are_not_there(tmp_path, scan, wanted):
    out = tmp_path / "out.npz"
    complains(program("reconstruct.py", scan, out, f"--slices={wanted}"), out, "must be first:end within 0:2")


def test_reconstruct_complains_of_a_directory_that_is_not_there(tmp_path, scan):
    out = tmp_path / "no" / "out.npz"
    complains(program("reconstruct.py", scan, out, "--slices", "0:2"), out, "No such file or directory")


def test_assemble_refuses_parts_that_are_not_the_whole(tmp_path, site):
    parts = [step.output for step in site.plan.reconstruct]
    out = tmp_path / "volume.npz"
    for given_parts, line in [
        (parts[:3], "the parts hold 12 slices of 16"),
        (parts[1:], "^assemble: slice 0 is missing"),
        ([parts[0], *parts[2:]], "slice 4 is missing"),
        ([*parts, parts[1]], "slice 4 is there twice"),
        ([*parts[:3], tmp_path / "part-3.npz"], "part-3.npz: no such file"),
        ([*parts[:3], site.exposure.projections], "projections.npz: lacks density, first, total"),
    ]:
        complains(program("assemble.py", *given_parts, "--output", out), out, line)


def test_assemble_refuses_parts_of_different_scans(tmp_path):
    for first, pixels in [(0, 8), (1, 9)]:
        density = np.zeros((1, pixels, pixels), np.float32)
        np.savez(tmp_path / f"{first}.npz", density=density, first=first, total=2)
    out = tmp_path / "volume.npz"
    done = program("assemble.py", tmp_path / "0.npz", tmp_path / "1.npz", "--output", out)
    complains(done, out, "different scans")


def test_assemble_takes_parts_in_any_order(tmp_path, site):
    parts = [step.output for step in site.plan.reconstruct]
    done = program("assemble.py", *reversed(parts), "--output", tmp_path / "volume.npz")
    assert done.stdout.split()[-1] == site.sha256


# The picture


def test_look_draws_and_measures(tmp_path, site):
    png = tmp_path / "picture.png"
    found = picture.look(site.plan.result, png, projections=site.exposure.projections, sha256=site.sha256)
    assert found == picture.rmse(site.volume, beamline.sample())
    assert png.read_bytes().startswith(PNG)


def test_look_does_without_the_projections(tmp_path, site):
    assert picture.look(site.plan.result, tmp_path / "picture.png") < 0.05
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_look_refuses_another_file_than_the_facility_had(tmp_path, site):
    png = tmp_path / "picture.png"
    with pytest.raises(ValueError, match="at the facility 0000"):
        picture.look(site.plan.result, png, sha256="0" * 64)
    assert not png.exists()


def test_look_refuses_what_is_no_volume(tmp_path, site):
    np.savez(tmp_path / "flat.npz", density=np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"density \(8, 8\) must be finite"):
        picture.look(tmp_path / "flat.npz", tmp_path / "picture.png")
    np.savez(tmp_path / "low.npz", density=np.zeros((2, 16, 16)))
    with pytest.raises(ValueError, match="holds 16 slices, the volume 2"):
        picture.look(tmp_path / "low.npz", tmp_path / "picture.png", projections=site.exposure.projections)


def test_rmse_of_a_known_error():
    truth = np.zeros((2, 32, 32))
    assert picture.rmse(truth + 0.25, truth) == pytest.approx(0.25)
