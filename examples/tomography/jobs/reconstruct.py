"""Runs at the facility: filtered back-projection of some slices of a scan.

    python reconstruct.py <projections.npz> <part.npz> --slices 0:4

Needs numpy and scikit-image and nothing else: it is uploaded alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np


def read(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Line integrals (slices, angles, pixels), angles in degrees, optical depth of a pixel of density 1."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file, or cut short")
    with np.load(path) as data:
        missing = {"projections", "angles", "unit_depth"} - set(data.files)
        if missing:
            raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}")
        projections, angles, unit_depth = data["projections"], data["angles"], data["unit_depth"]
    if projections.ndim != 3 or angles.shape != projections.shape[1:2] or unit_depth.shape != ():
        raise ValueError(
            f"{path}: projections {projections.shape} must be (slices, angles, pixels)"
            f" and angles {angles.shape} one per projection"
        )
    if any(array.dtype.kind not in "iuf" for array in (projections, angles, unit_depth)):
        raise ValueError(f"{path}: projections, angles and unit_depth must be real numbers")
    if not np.isfinite(projections).all() or not unit_depth > 0:
        raise ValueError(f"{path}: projections must be finite and unit_depth positive")
    return projections, angles, float(unit_depth)


def share(text: str, slices: int) -> tuple[int, int]:
    """First and last-plus-one slice of ``text``, such as 0:4."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last) <= slices):
        raise ValueError(f"--slices {text}: must be first:end within 0:{slices}")
    return int(first), int(last)


def save(path: Path, **arrays: np.ndarray) -> None:
    """Write aside, then rename: whoever sees the file sees all of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            np.savez(file, **arrays)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def main() -> None:
    """Reconstruct the slices asked for."""
    parser = argparse.ArgumentParser(description="Filtered back-projection of some slices of a scan.")
    parser.add_argument("projections", type=Path, help=".npz with projections, angles and unit_depth")
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--slices", required=True, metavar="FIRST:END", help="such as 0:4, end excluded")
    options = parser.parse_args()

    began = time.perf_counter()
    projections, angles, unit_depth = read(options.projections)
    first, end = share(options.slices, len(projections))
    # Imported late: it takes most of a second, and bad input is told at once.
    from skimage.transform import iradon

    # This filter damps the highest frequencies, where a short exposure holds more noise than sample.
    density = [
        iradon(layer.T, theta=angles, filter_name="shepp-logan", circle=True) / unit_depth
        for layer in projections[first:end]
    ]
    save(
        options.output,
        density=np.asarray(density, dtype=np.float32),
        first=np.int64(first),
        total=np.int64(len(projections)),
    )
    print(
        f"reconstructed slices {first}:{end} of {len(projections)} from {len(angles)} angles,"
        f" {projections.shape[2]} pixels wide, in {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
        sys.exit(f"reconstruct: {error}")
