"""The CT scanner: where its voxels lie in the patient, and what its detector adds to the image."""

import dataclasses

import numpy as np
from scipy import fft, ndimage

from SlicerVAELib.core.volume import Geometry

from . import constants as c
from .person import Person, Stream, random_stream
from .shapes import Slab

_SUB_SLICE = (1.2, 3.0)  # mm; a slice is averaged from sub-slices about as thick as a pixel is wide, within this
_TEXTURE_SPACING = 7.0  # mm
HU_RANGE = (-1024, 3071)  # twelve bits


@dataclasses.dataclass(frozen=True)
class Grid:
    """Voxels of a scan: ``size`` × ``size`` pixels, ``slices`` slices, in LPS millimetres, head first supine."""

    size: int
    slices: int
    first_z: float  # the most inferior slice

    @classmethod
    def covering_thorax(cls, size: int, slices: int) -> "Grid":
        """The grid from above the apices of the lungs downwards, equally far for any number of slices."""
        spacing = round(c.SCAN_LENGTH / slices, 4)
        return cls(size, slices, round(c.SCAN_TOP - c.SCAN_LENGTH + spacing / 2, 3))

    @property
    def pixel(self) -> float:
        """Width of a pixel in mm."""
        return c.FIELD_OF_VIEW / self.size

    @property
    def spacing(self) -> float:
        """Distance between slices, and their thickness, in mm. Rounded to what DICOM's text can hold exactly."""
        return round(c.SCAN_LENGTH / self.slices, 4)

    @property
    def axis(self) -> np.ndarray:
        """Pixel centres along x and along y, (size,)."""
        return ((np.arange(self.size) + 0.5) * self.pixel - c.FIELD_OF_VIEW / 2).astype(np.float32)

    def slice_z(self, k: int) -> float:
        """z of slice k; slices are numbered from inferior to superior."""
        return self.first_z + k * self.spacing

    @property
    def geometry(self) -> Geometry:
        """The grid as the project describes it."""
        start = float(self.axis[0])
        return Geometry.from_lps(
            (self.slices, self.size, self.size),
            spacing=(self.pixel, self.pixel, self.spacing),
            origin=(start, start, self.first_z),
        )


@dataclasses.dataclass(frozen=True)
class Position:
    """How the patient lies on the couch: shift of the couch in the image (mm), roll (radians), and gentle sways.

    Between the image and the patient lies the couch's frame: the image's, shifted so that its origin is near the
    patient's, but straight.
    """

    shift: tuple[float, float]
    roll: float
    sway: np.ndarray  # (2, 4): amplitude, two wave numbers, phase

    @classmethod
    def draw(cls, back_y: float, chest_depth: float, seed: int, number: int) -> "Position":
        """A patient laid down by hand: not quite in the middle, not quite straight."""
        random = random_stream(seed, number, Stream.POSITION)
        middle = back_y - chest_depth / 2
        shift = (float(random.normal(0, 4.0)), float(-middle + np.clip(random.normal(0, 9.0), -20, 20)))
        waves = 2 * np.pi / random.uniform(130, 320, (2, 2))
        amplitude, phase = random.uniform(1.0, 3.0, (2, 1)), random.uniform(0, 2 * np.pi, (2, 1))
        return cls(
            shift, float(np.radians(np.clip(random.normal(0, 1.2), -2.5, 2.5))), np.hstack([amplitude, waves, phase])
        )

    def to_patient(self, columns: np.ndarray, rows: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Patient x and y at places of the couch's frame, which must broadcast."""
        cosine, sine = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        x, y = cosine * columns - sine * rows, sine * columns + cosine * rows
        (a, ky, kz, p), (b, kx, lz, q) = self.sway.astype(np.float32)
        return x + a * np.sin(ky * y + kz * z + p), y + b * np.sin(kx * x + lz * z + q)

    def to_image(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image positions of patient points, by fixed-point iteration; exact to micrometres."""
        columns, rows = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        for _ in range(8):
            px, py = self.to_patient(columns, rows, z)
            columns, rows = columns + (x - px), rows + (y - py)
        return columns + self.shift[0], rows + self.shift[1]


def sub_slices(grid: Grid, k: int) -> np.ndarray:
    """Heights (S,) of the sub-slices that slice k is averaged from."""
    thickest = float(np.clip(1.3 * grid.pixel, *_SUB_SLICE))
    count = max(1, int(np.ceil(grid.spacing / thickest - 1e-9)))
    offsets = (np.arange(count) + 0.5) / count - 0.5
    return (grid.slice_z(k) + offsets * grid.spacing).astype(np.float32)


def empty_slab(grid: Grid, position: Position, k: int, rows: slice, columns: slice) -> Slab:
    """The voxels of slice k, in those rows and columns, filled with air."""
    z = sub_slices(grid, k)[:, None, None]
    across, along = (grid.axis - np.float32(shift) for shift in position.shift)
    x, y = position.to_patient(across[None, None, columns], along[None, rows, None], z)
    x, y = (np.ascontiguousarray(np.broadcast_to(v, (len(z), *v.shape[1:]))) for v in (x, y))
    hu = np.full(x.shape, c.AIR_HU, dtype=np.float32)
    return Slab(x, y, z, hu, columns=across[columns], rows=along[rows], pixel=grid.pixel)


class Texture:
    """A smooth random field about 0 with unit variance: what tissue has below the size of what is drawn."""

    def __init__(self, grid: Grid, seed: int, number: int) -> None:
        random = random_stream(seed, number, Stream.TEXTURE)
        self._bottom = grid.first_z - 2 * _TEXTURE_SPACING
        across = int(c.FIELD_OF_VIEW / _TEXTURE_SPACING) + 4
        along = int(c.SCAN_LENGTH / _TEXTURE_SPACING) + 6
        field = ndimage.gaussian_filter(random.standard_normal((along, across, across), dtype=np.float32), 0.6)
        self._field = field / field.std()
        places = (grid.axis + c.FIELD_OF_VIEW / 2) / _TEXTURE_SPACING + 1
        self._across = _interpolation(places, across)

    def at(self, z: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Values at the heights z (S,) and those rows and columns, (S, J, I)."""
        height = (z.ravel() - self._bottom) / _TEXTURE_SPACING
        low = np.floor(height).astype(int)
        part = (height - low)[:, None, None].astype(np.float32)
        layers = self._field[low] * (1 - part) + self._field[low + 1] * part
        return self._across[rows] @ layers @ self._across[columns].T


def _interpolation(places: np.ndarray, count: int) -> np.ndarray:
    """Matrix (len(places), count) that interpolates a sequence with quadratic B-splines."""
    away = np.abs(places[:, None] - np.arange(count)[None, :])
    near, far = 0.75 - away**2, 0.5 * (1.5 - away) ** 2
    return np.where(away < 0.5, near, np.where(away < 1.5, far, 0.0)).astype(np.float32)


class Detector:
    """What photon statistics and reconstruction do to an image of true HU."""

    def __init__(self, grid: Grid, person: Person, seed: int, number: int) -> None:
        self._random = random_stream(seed, number, Stream.NOISE)
        self._grid, self._person = grid, person
        n, pixel = grid.size, grid.pixel
        fy, fx = fft.fftfreq(n, pixel)[:, None], fft.rfftfreq(n, pixel)[None, :]
        frequency = np.hypot(fy, fx)
        # Ramp times roll-off: the noise power of filtered back-projection. A coarse grid can't hold its peak.
        peak = min(c.NOISE_PEAK_PER_MM, 0.6 * 0.5 / pixel)
        power = frequency * np.exp(-((frequency / peak) ** 2) / 2)
        upright = fy**2 / np.maximum(frequency, 1e-9) ** 2
        # Rays along x carry noise that varies along y, and the other way round.
        self._filters = [self._unit(power * upright), self._unit(power * (1 - upright))]
        self._blur = c.POINT_SPREAD_SIGMA / pixel

    def _unit(self, power: np.ndarray) -> np.ndarray:
        n = self._grid.size
        amplitude = np.sqrt(power)
        weights = np.full(amplitude.shape[1], 2.0)
        weights[0] = 1.0
        if n % 2 == 0:
            weights[-1] = 1.0
        variance = (power * weights).sum() / (n * n)
        return (amplitude / np.sqrt(variance)).astype(np.float32)

    def detect(self, hu: np.ndarray) -> np.ndarray:
        """An image of true HU (J, I) as it is reconstructed, int16. To be called slice by slice, in order."""
        n, pixel = self._grid.size, self._grid.pixel
        if self._blur > 0.25:
            hu = ndimage.gaussian_filter(hu, self._blur)
        water = np.maximum(hu + 1000.0, 0.0) * np.float32(pixel * c.WATER_ATTENUATION_PER_MM / 1000.0)
        smooth = 12.0 / pixel
        along_x = ndimage.gaussian_filter1d(water.sum(axis=1, keepdims=True), smooth, axis=0)
        along_y = ndimage.gaussian_filter1d(water.sum(axis=0, keepdims=True), smooth, axis=1)
        # Not the whole exponent: tube-current modulation evens out part of it between slices and angles.
        typical = 280.0 * c.WATER_ATTENUATION_PER_MM
        noise = np.zeros((n, n), dtype=np.float32)
        for kernel, path in zip(self._filters, (along_x, along_y), strict=True):
            white = self._random.standard_normal((n, n), dtype=np.float32)
            spread = np.exp(0.30 * (path - typical)) * np.float32(0.5**0.5)
            noise += fft.irfft2(fft.rfft2(white) * kernel, s=(n, n)) * spread
        image = hu + self._person.calibration_hu * (hu > -900) + self._person.noise_hu * noise
        return np.clip(np.rint(image), *HU_RANGE).astype(np.int16)
