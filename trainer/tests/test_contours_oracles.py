"""The rasteriser against two others: plastimatch, and polygons sampled eight times finer in each direction."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from slicervae.phantom import write_cohort
from SlicerVAELib.core.contours import fill
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.rtstruct import read_rtstruct

FINER = 8
EVERY = 3  # slices, of which one is looked at, for the time it takes
LARGE = 1000  # pixels of a slice
REAL_GRID = {"spacing": (1.074219, 1.074219, 3.0), "origin": (-275.0, -524.0, -125.44)}  # of the CT it was drawn on


def by_plastimatch(structure_set: Path, geometry: Geometry, folder: Path) -> dict[str, np.ndarray]:
    """Its masks (K, J, I) by name, or a skipped test where it is not installed."""
    if shutil.which("plastimatch") is None:
        assert not os.environ.get("CI"), "plastimatch (Debian's package of that name) must be installed in CI"
        pytest.skip("plastimatch is not installed; it is Debian's package of that name")
    grid = sitk.Image(*geometry.shape[::-1], sitk.sitkUInt8)
    spacing, origin, direction = geometry.lps
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(origin.tolist())
    grid.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(grid, str(folder / "grid.nrrd"))
    words = ["--input", structure_set, "--fixed", folder / "grid.nrrd", "--output-prefix", folder / "masks"]
    subprocess.run(
        ["plastimatch", "convert", *map(str, words), "--prefix-format", "nrrd"], check=True, capture_output=True
    )
    return {
        file.stem: sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0 for file in (folder / "masks").glob("*.nrrd")
    }


def covered_shares(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """The share of each pixel (J, I) that lies inside polygons (P, 2) of i, j, by many samples of each."""
    low = np.clip(np.floor(np.concatenate(polygons).min(axis=0)).astype(int) - 1, 0, (width, height))
    high = np.clip(np.ceil(np.concatenate(polygons).max(axis=0)).astype(int) + 2, 0, (width, height))
    steps = (np.arange(FINER) + 0.5) / FINER - 0.5
    x = (np.arange(low[0], high[0])[:, None] + steps).ravel()
    y = (np.arange(low[1], high[1])[:, None] + steps).ravel()
    odd = np.zeros((len(y), len(x)), dtype=bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            rows = np.flatnonzero((y0 > y) != (y1 > y))
            if len(rows):
                odd[rows] ^= x[None, :] < (x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0))[:, None]
    shares = np.zeros((height, width))
    blocks = odd.reshape(high[1] - low[1], FINER, high[0] - low[0], FINER)
    shares[low[1] : high[1], low[0] : high[0]] = blocks.mean(axis=(1, 3))
    return shares


def dice(mask: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((mask & other).sum()) / float(mask.sum() + other.sum())


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def compare(structure_set: Path, geometry: Geometry, folder: Path) -> tuple[int, int]:
    """Hold every structure against both; how many large slices and small structures there were."""
    large_slices = small_structures = 0
    others = by_plastimatch(structure_set, geometry, folder)
    inverse = np.linalg.inv(geometry.ijk_to_ras)
    for name, contours in read_rtstruct(structure_set).contours.items():
        mask, small = fill(contours, geometry), []
        by_slice: dict[int, list[np.ndarray]] = {}
        for points in contours:
            voxels = points @ inverse[:3, :3].T + inverse[:3, 3]
            by_slice.setdefault(round(float(voxels[:, 2].mean())), []).append(voxels[:, :2])
        for k, polygons in list(by_slice.items())[::EVERY]:
            shares = covered_shares(polygons, *mask.shape[1:])
            # plastimatch unites what overlaps, and so fills holes.
            has_holes = shares.sum() < 0.98 * sum(area(polygon) for polygon in polygons)
            if shares.sum() > LARGE:
                large_slices += 1
                assert mask[k].sum() == pytest.approx(shares.sum(), rel=0.01), (name, k)
                assert dice(mask[k], shares >= 0.5) >= 0.98, (name, k)
                assert has_holes or dice(mask[k], others[name][k]) >= 0.98, (name, k)
            elif not has_holes:
                small.append((mask[k], shares >= 0.5, others[name][k]))
        if small:
            small_structures += 1
            own, halves, other = (np.stack(masks) for masks in zip(*small, strict=True))
            assert dice(own, other) >= dice(halves, other), name
    return large_slices, small_structures


def test_a_real_structure_set(real_data, tmp_path):
    geometry = Geometry.from_lps((143, 512, 512), **REAL_GRID)
    large, small = compare(real_data / "rt" / "rtss.dcm", geometry, tmp_path)
    assert large > 40
    assert small > 3


def test_a_phantom(tmp_path):
    write_cohort(tmp_path / "cohort", patients=1, seed=11, size=192, slices=30)
    patient = tmp_path / "cohort" / "PHANTOM-0001"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(patient / "CT")))
    image = reader.Execute()
    geometry = Geometry.from_lps(
        image.GetSize()[::-1],
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=np.reshape(image.GetDirection(), (3, 3)),
    )
    large, small = compare(patient / "RTSTRUCT.dcm", geometry, tmp_path)
    assert large > 10
    assert small > 1
