"""How fast clinical input is read, contoured and prepared, against SimpleITK doing the same.

What is compared is timed in turn within one run, and ratios are medians, because machines are shared.
"""

import dataclasses
import statistics
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SlicerVAELib.core.contours import fill
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Listener, Meter
from SlicerVAELib.core.stack import model_grid, prepare
from SlicerVAELib.core.volume import Geometry, Volume
from SlicerVAELib.io.read import read_volume

from ..phantom import make_patient
from ..phantom.dicom_ct import write_ct
from .figure import Figure
from .timing import timed

SIZE, SLICES, SHOWN = 512, 300, 30  # a phantom of SHOWN slices is repeated to SLICES: only its files' number matters
MODEL_SIZE, FIELD_OF_VIEW_MM = 256, 500.0
STRUCTURES, CONTOURED, POINTS = 10, 150, 400


def measure(runs: int, listener: Listener) -> list[Figure]:
    """Measure with ``runs`` repetitions of each."""
    meter = Meter(listener, "measuring", 3 * runs + 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "CT"
        _write_series(folder)
        meter.advance(1)
        figures = _reading(folder, runs, meter)
        volume = read_volume(folder)
    return [*figures, *_preparing(volume, runs, meter), *_contouring(runs, meter)]


def _write_series(folder: Path) -> None:
    patient = make_patient(1, 1, size=SIZE, slices=SHOWN)
    array = np.tile(patient.volume.array, (SLICES // SHOWN, 1, 1))
    geometry = Geometry(array.shape, patient.volume.geometry.ijk_to_ras)
    volume = patient.volume.replace(array=array, geometry=geometry, masks={})
    write_ct(dataclasses.replace(patient, volume=volume), folder)


def _reading(folder: Path, runs: int, meter: Meter) -> list[Figure]:
    ratios, seconds = [], []
    for _ in range(runs):
        bare, image = timed(lambda: _by_simpleitk(folder))
        ours, volume = timed(lambda: read_volume(folder))
        if not np.array_equal(volume.array, sitk.GetArrayViewFromImage(image)):
            raise RuntimeError("the two readers do not agree")
        ratios.append(ours / bare)
        seconds.append(ours)
        meter.advance(1)
    what = f"reading a {SIZE}×{SIZE}×{SLICES} CT series"
    return [
        Figure(f"{what}, to SimpleITK alone", statistics.median(ratios), "×", 1.5),
        Figure(what, statistics.median(seconds), "s"),
    ]


def _by_simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def _preparing(volume: Volume, runs: int, meter: Meter) -> list[Figure]:
    preprocessing = Preprocessing(HounsfieldWindow(), MODEL_SIZE, FIELD_OF_VIEW_MM / MODEL_SIZE)
    image = sitk.GetImageFromArray(volume.array)
    spacing, origin, direction = volume.geometry.lps
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    grid = model_grid(volume, preprocessing)
    ratios, seconds = [], []
    for _ in range(runs):
        ours, _ = timed(lambda: _there_and_back(volume, preprocessing))
        bare, _ = timed(lambda: _resampled_twice(image, grid))
        ratios.append(ours / bare)
        seconds.append(ours)
        meter.advance(1)
    what = f"preprocessing a {SIZE}×{SIZE}×{SLICES} CT to {MODEL_SIZE}² and back"
    return [
        Figure(f"{what}, to two resamplings by SimpleITK", statistics.median(ratios), "×", 1.0),
        Figure(what, statistics.median(seconds), "s"),
    ]


def _there_and_back(volume: Volume, preprocessing: Preprocessing) -> np.ndarray:
    stack = prepare(volume, preprocessing)
    return stack.to_source(stack.images[:, 0], fill=0.0)


def _resampled_twice(image: sitk.Image, grid: Geometry) -> None:
    spacing, origin, direction = grid.lps
    there = sitk.Resample(
        image,
        grid.shape[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        origin.tolist(),
        spacing.tolist(),
        direction.ravel().tolist(),
        0.0,
        sitk.sitkFloat32,
    )
    sitk.Resample(there, image, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)


def _contouring(runs: int, meter: Meter) -> list[Figure]:
    grid = Geometry((CONTOURED, SIZE, SIZE), np.diag([1.0, 1.0, 3.0, 1.0]))
    structures = [[_ring(200 - 15 * n, 3.0 * k) for k in range(CONTOURED)] for n in range(STRUCTURES)]
    seconds = []
    for _ in range(runs):
        seconds.append(timed(lambda: [fill(contours, grid) for contours in structures])[0])
        meter.advance(1)
    tracemalloc.start()
    masks = [fill(contours, grid) for contours in structures]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    what = f"{len(masks)} structures contoured on {SIZE}×{SIZE}×{CONTOURED}"
    return [
        Figure(what, statistics.median(seconds), "s", 3.0),
        Figure(f"{what}, peak memory with all masks", peak / 1e6, "MB", 500),
    ]


def _ring(radius: float, height: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    middle = SIZE / 2
    return np.stack([middle + radius * np.cos(angle), middle + radius * np.sin(angle), np.full(POINTS, height)], axis=1)
