"""The instrument: a sample turns in the beam and a detector counts photons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.data import shepp_logan_phantom
from skimage.transform import AffineTransform, downscale_local_mean, radon, warp

from .plan import SLICES, shares

PIXELS = 192
"""Detector width and edge of a slice."""

ANGLES = 180
"""Projections over half a turn; the other half would see the same lines from behind."""

PHOTONS = 3000
"""Mean count of one detector pixel in the open beam: a short exposure, so the picture is visibly noisy."""

UNIT_DEPTH = 8.0 / PIXELS
"""Optical depth of one pixel of density 1: cortical bone at about 20 keV (8 per cm), 1 cm field of view."""

UPLOAD_LIMIT = 5 * 1024 * 1024
"""Bytes per file that a facility's upload call accepts."""


@dataclass(frozen=True)
class Exposure:
    """What the instrument leaves behind: a file of projections and the number of slices in it."""

    projections: Path
    slices: int

    def shares(self, parts: int) -> list[range]:
        """The slices of each of so many jobs."""
        return shares(self.slices, parts)


def sample(slices: int = SLICES, pixels: int = PIXELS) -> np.ndarray:
    """The phantom: density of shape (slices, pixels, pixels), 0 = air, 1 = bone.

    Shepp-Logan slices of an ellipsoid that is twisted about its axis: every slice is different, so slices
    that come back in the wrong order show in the error.
    """
    phantom, fine = shepp_logan_phantom(), 3 * pixels
    centre = np.array(phantom.shape) / 2 - 0.5
    stack = []
    for z in np.linspace(-0.85, 0.85, slices) if slices > 1 else [0.0]:
        zoom = phantom.shape[0] / fine / np.sqrt(1 - z**2)
        onto_phantom = (
            AffineTransform(translation=(0.5 - fine / 2,) * 2)
            + AffineTransform(scale=zoom, rotation=np.deg2rad(25) * z)
            + AffineTransform(translation=centre)
        )
        # Drawn three times finer and averaged, as a pixel of finite size sees it.
        stack.append(downscale_local_mean(warp(phantom, onto_phantom, output_shape=(fine, fine)), (3, 3)))
    return np.asarray(stack, dtype=np.float32)


def project(density: np.ndarray, photons: float = PHOTONS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy line integrals -log(I / I0), shape (slices, angles, pixels), and the angles in degrees."""
    angles = np.linspace(0.0, 180.0, ANGLES, endpoint=False)
    depth = UNIT_DEPTH * np.stack([radon(layer, angles).T for layer in density])
    counts = np.random.default_rng(seed).poisson(photons * np.exp(-depth))
    # A pixel that caught nothing counts as one photon: its logarithm must stay finite.
    return -np.log(np.maximum(counts, 1) / photons).astype(np.float32), angles.astype(np.float32)


def expose(directory: str | Path, seed: int = 0) -> Exposure:
    """Take the projections into ``directory``/projections.npz; the same seed gives the same bytes."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "projections.npz"
    projections, angles = project(sample(), seed=seed)
    np.savez_compressed(path, projections=projections, angles=angles, unit_depth=np.float32(UNIT_DEPTH))
    if path.stat().st_size >= UPLOAD_LIMIT:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; one upload takes less than {UPLOAD_LIMIT}")
    return Exposure(path, slices=len(projections))
