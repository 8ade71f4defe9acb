"""Runs at the facility: puts reconstructed parts together as one volume.

    python assemble.py <part.npz>... --output <volume.npz>

Needs numpy and nothing else: it is uploaded alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np


def read(path: Path) -> tuple[np.ndarray, int, int]:
    """Density (slices, pixels, pixels) of one part, its first slice and the height of the whole."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an .npz file, or cut short")
    with np.load(path) as data:
        missing = {"density", "first", "total"} - set(data.files)
        if missing:
            raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}")
        density, first, total = data["density"], data["first"], data["total"]
    if density.ndim != 3 or first.shape != () or total.shape != ():
        raise ValueError(f"{path}: density {density.shape} must be (slices, pixels, pixels)")
    return density, int(first), int(total)


def assemble(paths: list[Path]) -> np.ndarray:
    """The whole volume; refuses parts that overlap, leave a gap or differ in size."""
    parts = sorted((read(path) for path in paths), key=lambda part: part[1])
    total, shape, height = parts[0][2], parts[0][0].shape[1:], 0
    for density, first, of in parts:
        if of != total or density.shape[1:] != shape:
            raise ValueError("the parts are of different scans: their sizes differ")
        if first != height:
            raise ValueError(
                f"slice {min(first, height)} is {'missing' if first > height else 'there twice'}"
            )
        height += len(density)
    if height != total:
        raise ValueError(f"the parts hold {height} slices of {total}")
    return np.concatenate([density for density, _, _ in parts])


def save(path: Path, **arrays: np.ndarray) -> str:
    """Write aside, then rename: whoever sees the file sees all of it. Returns its SHA-256."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            np.savez(file, **arrays)
        digest = hashlib.sha256(aside.read_bytes()).hexdigest()
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return digest


def main() -> None:
    """Assemble the parts named."""
    parser = argparse.ArgumentParser(description="Put reconstructed parts together as one volume.")
    parser.add_argument("parts", type=Path, nargs="+", help=".npz files of reconstruct.py, in any order")
    parser.add_argument("--output", type=Path, required=True, help=".npz to write")
    options = parser.parse_args()

    density = assemble(options.parts)
    digest = save(options.output, density=density)
    print(f"assembled {len(density)} slices from {len(options.parts)} parts, sha256 {digest}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
        sys.exit(f"assemble: {error}")
