"""Lesions of known shape: a solid nodule in a lung, or a pleural effusion, and which patients have one."""

import dataclasses
import functools
import math

import numpy as np

from SlicerVAELib.core.errors import UserError

from . import constants as c
from .lungs import Lungs, point_field
from .person import Stream, random_stream
from .shapes import Point, Slab, coverage, smooth_max
from .torso import Torso

_FINE = 1.4  # mm; voxels wider than this are counted in parts

NODULE = "nodule"
EFFUSION = "effusion"
NONE = "none"


@dataclasses.dataclass(frozen=True)
class LesionPolicy:
    """Which patients have a lesion: ``share`` of them, evenly spread over the numbers, nodule and effusion in turn."""

    share: float = 1 / 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise UserError(f"The share of patients with a lesion is {self.share}; give a number from 0 to 1.")

    def kind(self, number: int) -> str:
        """NODULE, EFFUSION or NONE for patient ``number`` (from 1), whatever the size of the cohort."""
        before, now = (math.floor(n * self.share + 1e-9) for n in (number - 1, number))
        if now == before:
            return NONE
        return NODULE if now % 2 else EFFUSION


HEALTHY = LesionPolicy(share=0.0)


@dataclasses.dataclass(frozen=True)
class Nodule:
    """A solid nodule: a ball with a few bumps."""

    side: str
    centre: Point
    diameter_mm: float
    hu: float
    bumps: list[tuple[float, ...]]  # direction (3) and height of each bump

    @property
    def reach(self) -> float:
        """No point of the nodule lies further than this from its centre."""
        return self.diameter_mm / 2 + sum(bump[3] for bump in self.bumps)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the nodule at points of the patient."""
        dx, dy, dz = (v - o for v, o in zip((x, y, z), self.centre, strict=True))
        away = np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-3
        distance = away - self.diameter_mm / 2
        for bx, by, bz, height in self.bumps:
            cosine = (dx * bx + dy * by + dz * bz) / away
            distance -= height * np.exp((cosine - 1.0) * 6.0)
        return distance

    def share(self, slab: Slab) -> np.ndarray:
        """How much of each voxel of ``slab`` the nodule covers: counted within the voxel, as it may be smaller."""
        parts = max(1, int(np.ceil(slab.pixel / _FINE)))
        offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * slab.pixel
        total = np.zeros_like(slab.hu)
        for dx in offsets.tolist():
            for dy in offsets.tolist():
                total += coverage(self.distance(slab.x + dx, slab.y + dy, slab.z), slab.pixel / parts)
        return total / parts**2

    @functools.cached_property
    def volume_cm3(self) -> float:
        """True volume."""
        x, y, z = (v + np.arange(-self.reach, self.reach, 1.0, dtype=np.float32) for v in self.centre)
        inside = coverage(self.distance(x[:, None, None], y[:, None], z), 1.0)
        return float(inside.sum(dtype=np.float64) / 1000)


@dataclasses.dataclass(frozen=True)
class Effusion:
    """Free fluid in one pleural space, deepest behind and below, rising along the chest wall."""

    side: str
    depth_mm: float
    hu: float
    kind: str  # "transudate" or "exudate"
    bottom_z: float
    back_y: float

    def distance(self, slab: Slab, lung: np.ndarray) -> np.ndarray:
        """Distance to the fluid at the points of ``slab``; ``lung`` is the distance to the pleural space."""
        height = np.clip((slab.z - self.bottom_z) / 190.0, 0.0, 1.3)
        level = self.back_y - self.depth_mm * (1.0 - height) + 14.0 * height
        climb = 16.0 * np.exp(np.minimum(lung, 0.0) / 9.0)
        return smooth_max(level - climb - slab.y, lung, 3.0)


def draw_lesion(kind: str, lungs: Lungs, torso: Torso, seed: int, number: int) -> Nodule | Effusion | None:
    """The lesion of patient ``number``, or None for a healthy one."""
    random = random_stream(seed, number, Stream.LESION)
    side = "R" if random.random() < 0.54 else "L"
    if kind == NODULE:
        return _draw_nodule(side, lungs, torso, random)
    if kind == EFFUSION:
        exudate = bool(random.random() < c.EFFUSION_EXUDATE_SHARE)
        spread = c.EFFUSION_EXUDATE_HU if exudate else c.EFFUSION_TRANSUDATE_HU
        bottom = -torso.lung_height
        cage = torso.cage_at(bottom + 60.0)
        return Effusion(
            side=side,
            depth_mm=float(random.uniform(*c.EFFUSION_DEPTH)),
            hu=spread.mean + spread.deviation * float(np.clip(random.standard_normal(), -1.4, c.CUT)),
            kind="exudate" if exudate else "transudate",
            bottom_z=bottom,
            back_y=cage.widest + cage.behind,
        )
    return None


def _draw_nodule(side: str, lungs: Lungs, torso: Torso, random: np.random.Generator) -> Nodule:
    diameter = float(random.uniform(*c.NODULE_DIAMETER))
    heights = 0.10 * diameter * random.uniform(0.3, 1.0, 7)
    bumps = [(*map(float, way), float(height)) for way, height in zip(_directions(random, 7), heights, strict=True)]
    low = (-torso.half_width if side == "R" else 4.0, -170.0, -torso.lung_height)
    high = (-4.0 if side == "R" else torso.half_width, 50.0, 0.0)
    places = random.uniform(low, high, (6000, 3))
    field = point_field(places)
    distances = lungs.distances(field, torso.locate(field.x, field.y, field.z))
    depth = -distances.of(side).ravel()
    room = np.nonzero(depth > diameter / 2 + heights.max() + c.NODULE_PLEURAL_GAP)[0]
    index = int(room[0]) if len(room) else int(np.argmax(depth))
    hu = c.NODULE_HU.mean + c.NODULE_HU.deviation * float(np.clip(random.standard_normal(), -c.CUT, c.CUT))
    x, y, z = map(float, places[index])
    return Nodule(side, (x, y, z), diameter, hu, bumps)


def _directions(random: np.random.Generator, count: int) -> np.ndarray:
    vectors = random.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
