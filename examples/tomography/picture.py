"""What the scientist looks at: the volume that came back, next to the sample it should show."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .beamline import sample

SHOWN = 6
"""Slices in the picture, evenly spread over the height of the sample."""


def look(
    volume: str | Path,
    picture: str | Path,
    *,
    projections: str | Path | None = None,
    sha256: str | None = None,
) -> float:
    """Draw the volume into a PNG and return its RMSE against the sample (density; bone = 1).

    Args:
        volume: The downloaded ``volume.npz``: density of shape (slices, pixels, pixels).
        picture: Where the PNG goes.
        projections: The beamline's file; adds a row with what the detector saw.
        sha256: Checksum at the facility; a volume that differs is refused, not drawn.

    Raises:
        ValueError: The volume is damaged or not a reconstruction of the sample.
    """
    if sha256 is not None and (found := checksum(volume)) != sha256:
        raise ValueError(f"{volume} has SHA-256 {found}, at the facility {sha256}")
    with np.load(volume) as data:
        density = data["density"]
    if density.ndim != 3 or density.shape[1] != density.shape[2] or not np.isfinite(density).all():
        raise ValueError(f"{volume}: density {density.shape} must be finite, (slices, pixels, pixels)")
    truth = sample(*density.shape[:2])
    seen = None
    if projections is not None:
        with np.load(projections) as data:
            seen = data["projections"]
        if len(seen) != len(density):
            raise ValueError(f"{projections} holds {len(seen)} slices, the volume {len(density)}")
    _draw(truth, seen, density).savefig(picture, format="png", dpi=140)
    return rmse(density, truth)


def checksum(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def rmse(density: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square error over the field of view: the disc that every projection sees."""
    radius = density.shape[-1] // 2
    rows, columns = np.indices(density.shape[-2:]) - radius
    # Outside the disc both are zero by construction; counting it would flatter the result.
    inside = rows**2 + columns**2 <= radius**2
    return float(np.sqrt(np.mean((density - truth)[..., inside].astype(float) ** 2)))


def _draw(truth: np.ndarray, seen: np.ndarray | None, density: np.ndarray) -> Figure:
    """One column per slice shown; from top to bottom the way of the data."""
    error = density - truth
    shown = np.linspace(0, len(density) - 1, min(SHOWN, len(density))).round().astype(int)
    # Bone is 1 and soft tissue 0.1 to 0.4: a window up to 0.6 lets the tissue be seen.
    tissue = {"cmap": "gray", "vmin": 0.0, "vmax": 0.6}
    rows = [("Sample", "density", truth, tissue, "max")]
    if seen is not None:
        depth = {"cmap": "inferno", "vmin": 0.0, "vmax": float(np.percentile(seen, 99.9)), "aspect": "auto"}
        rows.append(("Projections", "optical depth", seen, depth, "neither"))
    rows.append(("Reconstruction", "density", density, tissue, "both"))
    signed = {"cmap": "RdBu_r", "vmin": -0.2, "vmax": 0.2}
    rows.append(("Error", "difference", error, signed, "both"))

    figure = Figure(figsize=(1.62 * len(shown) + 1.3, 1.62 * len(rows) + 0.8), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04, wspace=0.0, hspace=0.0)
    # The last column is for the colour bars: beside the panels, so that all panels keep one size.
    grid = figure.subplots(len(rows), len(shown) + 1, squeeze=False, width_ratios=[1] * len(shown) + [0.07])
    panels, bars = grid[:, :-1], grid[:, -1]
    for line, beside, (name, unit, stack, style, extend) in zip(panels, bars, rows, strict=True):
        for axes, index in zip(line, shown, strict=True):
            image = axes.imshow(stack[index], **style)
            axes.set_box_aspect(1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=10.5, fontweight="bold", labelpad=7)
        bar = figure.colorbar(image, cax=beside, extend=extend, extendfrac=0.05)
        bar.set_label(unit, fontsize=9)
        bar.ax.tick_params(labelsize=8, length=2)
        bar.ax.set_box_aspect(12.5)
        bar.outline.set(linewidth=0.5, edgecolor="0.6")
    for axes, index in zip(panels[0], shown, strict=True):
        axes.set_title(f"slice {index + 1}", fontsize=10)
    for axes, index in zip(panels[-1], shown, strict=True):
        axes.set_xlabel(f"RMSE {rmse(density[index], truth[index]):.3f}", fontsize=9)
    figure.suptitle(
        f"From beamline to picture: {len(density)} slices, RMSE {rmse(density, truth):.3f} (bone = 1)",
        fontsize=14,
        fontweight="bold",
    )
    return figure
