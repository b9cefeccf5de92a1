"""Foreign objects rendered into healthy images, after source 003: simple shapes with a texture, some of the same mean
brightness as what they cover, so that no threshold of the image itself finds them."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from SlicerVAELib.core.planes import Plane, slice_axis
from SlicerVAELib.core.volume import Volume

SHAPES = ("disc", "ellipse", "square", "triangle", "ring", "cross")
TEXTURES = ("flat", "stripes", "checks", "noise")
CONTRASTS = ("brighter", "darker", "equal")
DIAMETERS_MM = (15.0, 45.0)
STRENGTHS = (0.15, 0.4)  # of the intensity window
EQUAL_AMPLITUDE = (0.1, 0.25)  # of a texture around the same mean
_PERIODS_MM = (5.0, 12.0)
_TRIES = 50


@dataclasses.dataclass(frozen=True)
class ForeignObject:
    """One object in slice ``k`` of the volume's own, its centre ``(i, j)`` in voxels and its diameter in mm."""

    k: int
    centre: tuple[float, float]
    diameter_mm: float
    angle: float
    shape: str
    texture: str
    contrast: str


@dataclasses.dataclass(frozen=True, eq=False)
class Inserted:
    """A volume with objects in it, where they are (K, J, I), and what they are."""

    volume: Volume
    truth: np.ndarray
    objects: tuple[ForeignObject, ...]


def insert_objects(
    volume: Volume,
    inside: np.ndarray,
    window: tuple[float, float],
    plane: Plane,
    seed: int,
    contrasts: Sequence[str] = CONTRASTS,
    share: float = 0.5,
) -> Inserted:
    """Put one object into a ``share`` of the slices that show enough of ``inside`` (K, J, I), the body.

    The slices are the volume's own, across the axis that is nearest to the normal of ``plane``; ``window`` is what the
    model maps to 0 and 1. The same seed gives the same objects. An object replaces what it covers: brighter and darker
    ones lie off the mean of that by a part of the window, equal ones have its mean and a texture; each has one of the
    ``contrasts``.
    """
    rng = np.random.default_rng(seed)
    axis = slice_axis(volume.geometry, plane)
    array = np.moveaxis(volume.array.astype(np.float32), axis, 0)
    body = np.moveaxis(inside, axis, 0)
    spacing = np.delete(volume.geometry.spacing[::-1], axis)  # of rows and columns of a slice, mm
    truth = np.zeros(array.shape, dtype=bool)
    fitting = np.flatnonzero(body.sum(axis=(1, 2)) * float(spacing.prod()) > math.pi * DIAMETERS_MM[1] ** 2)
    chosen = np.sort(rng.permutation(fitting)[: math.ceil(share * len(fitting))])
    objects = []
    for k in chosen:
        made = _place(rng, int(k), body[k], spacing, contrasts)
        if made is not None:
            truth[k] = _render(rng, made, array[k], body[k], spacing, window)
            objects.append(made)
    values = np.moveaxis(array, 0, axis)
    changed = volume.replace(array=np.ascontiguousarray(values))
    return Inserted(changed, np.ascontiguousarray(np.moveaxis(truth, 0, axis)), tuple(objects))


def _place(
    rng: np.random.Generator, k: int, body: np.ndarray, spacing: np.ndarray, contrasts: Sequence[str]
) -> ForeignObject | None:
    """An object of random kind whose whole disc lies in the body; None where none fits."""
    rows, columns = np.nonzero(body)
    diameter = float(rng.uniform(*DIAMETERS_MM))
    kind = [str(rng.choice(of)) for of in (SHAPES, TEXTURES, contrasts)]
    angle = float(rng.uniform(0, 2 * math.pi))
    for _ in range(_TRIES):
        n = int(rng.integers(len(rows)))
        centre = (float(columns[n]), float(rows[n]))
        if body[_disc(body.shape, centre, diameter, spacing)].all():
            return ForeignObject(k, centre, diameter, angle, *kind)
    return None


def _offsets(shape: tuple[int, ...], centre: tuple[float, float], spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances in mm along columns and rows of a slice's pixels from a centre (i, j)."""
    x = (np.arange(shape[1]) - centre[0])[None, :] * spacing[1]
    y = (np.arange(shape[0]) - centre[1])[:, None] * spacing[0]
    return x + np.zeros_like(y), y + np.zeros_like(x)


def _disc(shape: tuple[int, ...], centre: tuple[float, float], diameter: float, spacing: np.ndarray) -> np.ndarray:
    x, y = _offsets(shape, centre, spacing)
    return np.hypot(x, y) <= diameter / 2


def _render(
    rng: np.random.Generator,
    made: ForeignObject,
    image: np.ndarray,
    body: np.ndarray,
    spacing: np.ndarray,
    window: tuple[float, float],
) -> np.ndarray:
    """Draw the object into ``image`` and return where it is."""
    x, y = _offsets(image.shape, made.centre, spacing)
    along = math.cos(made.angle) * x + math.sin(made.angle) * y
    across = math.cos(made.angle) * y - math.sin(made.angle) * x
    covered = _covered(made.shape, along, across, made.diameter_mm / 2) & body
    if not covered.any():
        return covered
    width = window[1] - window[0]
    pattern = _pattern(made.texture, rng, along[covered], across[covered])
    if made.contrast == "equal":
        amplitude = float(rng.uniform(*EQUAL_AMPLITUDE))
        values = amplitude * (pattern - pattern.mean())
    else:
        sign = 1 if made.contrast == "brighter" else -1
        values = sign * float(rng.uniform(*STRENGTHS)) + 0.05 * (pattern - pattern.mean())
    image[covered] = float(image[covered].mean()) + width * values
    return covered


def _covered(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    distance = np.hypot(x, y)
    if shape == "disc":
        return distance <= radius
    if shape == "ellipse":
        return np.hypot(x, 2 * y) <= radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) <= radius / math.sqrt(2)
    if shape == "triangle":
        sides = [
            math.cos(angle) * x + math.sin(angle) * y for angle in (math.pi / 2, 7 * math.pi / 6, 11 * math.pi / 6)
        ]
        return np.maximum.reduce(sides) <= radius / 2
    if shape == "ring":
        return (distance <= radius) & (distance >= radius / 2)
    return (np.minimum(abs(x), abs(y)) <= radius / 4) & (distance <= radius)


def _pattern(texture: str, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values between −1 and 1 at offsets in mm."""
    period = float(rng.uniform(*_PERIODS_MM))
    if texture == "flat":
        return np.zeros_like(x)
    if texture == "stripes":
        return np.sin(2 * math.pi * x / period)
    if texture == "checks":
        return np.sign(np.sin(2 * math.pi * x / period) * np.sin(2 * math.pi * y / period))
    return rng.uniform(-1, 1, x.shape)
