"""The trunk: rib cage, diaphragm, lungs' outer shape and body surface, as distances at any point of the patient.

Everything is placed from the cage: ``u`` is the distance outside its inner surface, and the layers of the chest wall
are thicknesses over the angle ``theta`` around the body (0 in front, positive to the left, ±π behind). Heights are
given as ``t``: 0 at the apex of the lungs, 1 at their lowest point. Where a proportion has no number in
``constants`` it is schematic, after cross-sectional atlases of the thorax.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from . import constants as c
from .person import Person, Stream, random_stream
from .shapes import Curve, smooth_max

# Schematic proportions along t: half-width of the cage over its greatest; depth behind the vertebral centres (mm);
# depth in front of them over its greatest.
_HALF_WIDTH = [(-0.12, 0.42), (0.0, 0.52), (0.08, 0.66), (0.2, 0.83), (0.4, 0.95), (0.6, 1.0), (0.8, 0.99), (1.2, 0.93)]
_BEHIND = [(-0.12, 18.0), (0.0, 22.0), (0.15, 31.0), (0.4, 36.0), (0.7, 36.0), (1.0, 33.0), (1.2, 30.0)]
_IN_FRONT = [(-0.12, 0.40), (0.0, 0.46), (0.1, 0.56), (0.2, 0.67), (0.4, 0.85), (0.65, 0.98), (0.85, 1.0), (1.2, 0.97)]
# Chest depth from skin to skin over that of the cage: ribs, muscles and skin, and how often the fat counts
_WALL_TISSUE, _WALL_FAT = 50.0, 1.6
# Lung volume over width × depth × (height − _DOME_LOSS): measured once on this shape, to turn volume into height
_FILLING, _DOME_LOSS = 0.46, 75.0


class Cage(NamedTuple):
    """A cross-section of the inner cage: half-width, y of its widest place, and its depth in front of and behind it."""

    half_width: np.ndarray
    widest: np.ndarray
    in_front: np.ndarray
    behind: np.ndarray

    @property
    def front(self) -> np.ndarray:
        """y behind the sternum."""
        return self.widest - self.in_front

    @property
    def back(self) -> np.ndarray:
        """y of the posterior pleura."""
        return self.widest + self.behind


class CageAt(NamedTuple):
    """``Cage`` at one height, in numbers."""

    half_width: float
    widest: float
    in_front: float
    behind: float

    @property
    def front(self) -> float:
        """y behind the sternum."""
        return self.widest - self.in_front


@dataclasses.dataclass(frozen=True)
class Place:
    """Where points lie in the trunk: ``u`` mm outside the cage, ``theta`` around it, ``t`` along it."""

    u: np.ndarray
    theta: np.ndarray
    t: np.ndarray


class Torso:
    """The trunk of one person. Coordinates may be any arrays that broadcast; results have their shape."""

    def __init__(self, person: Person, seed: int, number: int) -> None:
        random = random_stream(seed, number, Stream.TORSO)
        self.person = person
        self.half_width = person.inner_half_width_mm
        depth = person.chest_depth_mm - _WALL_TISSUE - _WALL_FAT * person.fat_thickness_mm
        self.depth_in_front = depth - max(behind for _, behind in _BEHIND)
        height = person.wanted_lung_volume_cm3 * 1000 / (_FILLING * 2 * self.half_width * depth) + _DOME_LOSS
        self.lung_height = float(np.clip(height, 215.0, 310.0))
        self._scale = Curve([(t, w * self.half_width) for t, w in _HALF_WIDTH])
        self._behind = Curve(_BEHIND)
        self._in_front = Curve([(t, d * self.depth_in_front) for t, d in _IN_FRONT])
        self._squareness = float(random.normal(2.38, 0.07))
        top = self.vertebra_tops()
        self._kyphosis_height = float(top[6])
        self._set_domes()

    # --- Levels and the spine's curve --------------------------------------------------------------------------------
    def level(self, z: np.ndarray) -> np.ndarray:
        """t at a height z: the apices of the lungs lie at z = 0."""
        return -np.asarray(z, dtype=np.float32) / self.lung_height

    def vertebra_tops(self) -> np.ndarray:
        """Heights z of the upper endplates of T1 to L2 and of the end of the last disc, descending, shape (15,)."""
        heights = np.array(c.VERTEBRA_HEIGHTS) + np.array(c.DISC_HEIGHTS)
        return 14.0 - np.concatenate([[0.0], np.cumsum(heights)]) * self.person.spine_scale

    def spine_y(self, z: np.ndarray) -> np.ndarray:
        """y of the centres of the vertebral bodies at a height."""
        z = np.asarray(z, dtype=np.float32)
        above = (z - self._kyphosis_height) / (14.0 - self._kyphosis_height)
        bend = np.where(above > 0, above**2, 0.35 * above**2)
        return -np.float32(self.person.kyphosis_depth_mm) * bend

    def spine_y_at(self, z: float) -> float:
        """``spine_y`` at one height."""
        return float(self.spine_y(np.array([z]))[0])

    # --- The cage ----------------------------------------------------------------------------------------------------
    def cage(self, z: np.ndarray) -> Cage:
        """The inner cage at heights z."""
        t, spine = self.level(z), self.spine_y(z)
        front, back = spine - self._in_front(t), spine + self._behind(t)
        widest = back - 0.46 * (back - front)
        return Cage(self._scale(t), widest, widest - front, back - widest)

    def cage_at(self, z: float) -> CageAt:
        """The inner cage at one height."""
        return CageAt(*(float(value[0]) for value in self.cage(np.array([z], dtype=np.float32))))

    def locate(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Place:
        """Where points lie relative to the cage."""
        cage = self.cage(z)
        away = y - cage.widest
        across = np.abs(x / cage.half_width) + 1e-6
        along = np.abs(away / np.where(away < 0, cage.in_front, cage.behind)) + 1e-6
        power = np.float32(self._squareness)
        gauge = (across**power + along**power) ** (1 / power)
        u = np.sqrt(x * x + away * away) * (1.0 - 1.0 / np.maximum(gauge, 0.05))
        return Place(u=u, theta=np.arctan2(x, -away), t=self.level(z))

    # --- Diaphragm and cupolas ---------------------------------------------------------------------------------------
    def _set_domes(self) -> None:
        person = self.person
        self.right_dome_z = -self.lung_height + person.right_dome_height_mm + 32.0
        self.left_dome_z = self.right_dome_z - person.left_dome_lower_by_mm
        cage = self.cage_at(self.right_dome_z)
        self.dome_y = cage.widest - 0.12 * cage.in_front
        single = np.float32  # so that distances stay in single precision
        self._dome_reach = (single(0.52 * self.half_width), single(0.80 * self.half_width))  # lateral, medial
        self._dome_depth = (single(1.10 * cage.in_front), single(0.62 * cage.behind))  # to the front, to the back

    def diaphragm(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance above the diaphragm (positive in the chest)."""
        right, right_slope = self._dome(x, y, -1.0, self.right_dome_z)
        left, left_slope = self._dome(x, y, 1.0, self.left_dome_z)
        slope = np.where(left > right, left_slope, right_slope)
        return (z - smooth_max(right, left, 14.0)) / np.sqrt(1.0 + slope * slope)

    def _dome(self, x: np.ndarray, y: np.ndarray, side: float, top: float) -> tuple[np.ndarray, np.ndarray]:
        """(height of one dome, its slope): flat on top, steep towards the wall."""
        across, along = side * x - 0.50 * self.half_width, y - self.dome_y
        reach = np.where(across > 0, *self._dome_reach)
        depth = np.where(along < 0, *self._dome_depth)
        p, q = across / reach, along / depth
        away, fall = p * p + q * q, self.person.right_dome_height_mm
        height = top - fall * (0.5 * away + 0.5 * away * away)
        return height, fall * (1.0 + 2.0 * away) * np.sqrt((p / reach) ** 2 + (q / depth) ** 2)

    def cupola(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance above the domes of the pleura over the apices of the lungs (positive in the neck)."""
        spine = self.spine_y(z)
        across, along = np.abs(x) - 0.36 * self.half_width, y - spine + 2.0
        height = -(across * across) / 110.0 - (along * along) / 150.0
        slope2 = (across / 55.0) ** 2 + (along / 75.0) ** 2
        return (z - height) / np.sqrt(1.0 + slope2)
