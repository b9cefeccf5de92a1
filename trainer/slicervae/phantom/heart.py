"""The heart: ventricles along a tilted axis and the atria behind them, with the fat of its grooves and its sac."""

import numpy as np

from . import constants as c
from .shapes import Point, Slab, coverage, ellipsoid, smooth_max, smooth_min
from .torso import Torso

_TRANSVERSE_AXIS_DEGREES = 42.0  # long axis of the heart in front of the frontal plane; decided
_FAT = 4.0  # around the heart
_SAC = 0.62  # where in that fat the pericardium lies
_SAC_HALF_THICKNESS = 0.7
_GROOVE_HU_OVER_FAT = 12.0  # vessels run in the grooves


class Heart:
    """The heart of one person; ``fat`` scales the fat around it."""

    def __init__(self, torso: Torso, fat: float) -> None:
        self._torso, self._person, self._fat = torso, torso.person, fat
        turn = np.radians(_TRANSVERSE_AXIS_DEGREES)
        dip = np.arctan(np.tan(np.radians(torso.person.heart_axis_degrees)) * np.cos(turn))
        axis = np.array([np.cos(dip) * np.cos(turn), -np.cos(dip) * np.sin(turn), -np.sin(dip)])
        side = np.cross(axis, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        self._frame: list[list[float]] = np.stack([axis, side, np.cross(side, axis)]).tolist()
        size = 1.0
        floor = (torso.right_dome_z + torso.left_dome_z) / 2
        for _ in range(3):  # the cage and the diaphragm press on it, so its volume is reached by correction
            self.size = size
            z = floor + 37.0 * size
            self.centre: Point = (30.0, torso.cage_at(z).front + 7.0 + 45.0 * size, z)
            size *= (torso.person.heart_volume_cm3 / self._volume()) ** (1 / 3)
        self.size = size

    @property
    def left_atrium(self) -> Point:
        """Centre of the left atrium."""
        x, y, z = self.centre
        return (x - 26.0 * self.size, y + 24.0 * self.size, z + 17.0 * self.size)

    @property
    def box(self) -> tuple[Point, Point]:
        """Lowest and highest corner of the heart with its fat."""
        (x, y, z), reach = self.centre, 92.0 * self.size
        return (x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach)

    def _volume(self, step: float = 5.0) -> float:
        places = np.arange(-100, 100, step, dtype=np.float32)
        x, y, z = (v + places for v in self.centre)
        inside = self.distance(x, y[:, None], z[:, None, None]) < 0
        return float(inside.sum() * step**3 / 1000)

    def _along_axes(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """Coordinates along the long axis and across it."""
        cx, cy, cz = self.centre
        x, y, z = x - cx, y - cy, z - cz
        return [p * x + q * y + r * z for p, q, r in self._frame]

    def _ventricles(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        p, q, r = self._along_axes(x, y, z)
        size = self.size
        taper = 1.0 - 0.10 * np.clip(p / (60.0 * size), -1, 1)
        return ellipsoid(p, q / taper, r / taper, (57.0 * size, 43.0 * size, 41.0 * size))

    def _atria(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        size, (cx, cy, cz), (lx, ly, lz) = self.size, self.centre, self.left_atrium
        left = ellipsoid(x - lx, y - ly, z - lz, (36.0 * size, 27.0 * size, 34.0 * size))
        right = ellipsoid(
            x - cx + 44.0 * size,
            y - cy - 2.0 * size,
            z - cz - 6.0 * size,
            (25.0 * size, 30.0 * size, 36.0 * size),
        )
        return smooth_min(left, right, 10.0)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the heart: ventricles and atria, without the great vessels."""
        whole = smooth_min(self._ventricles(x, y, z), self._atria(x, y, z), 14.0)
        in_cage = self._torso.locate(x, y, z).u + 4.0
        return smooth_max(smooth_max(whole, in_cage, 6.0), -(self._torso.diaphragm(x, y, z) + 9.0), 12.0)

    def with_fat(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the heart with the fat around it."""
        return self.distance(x, y, z) - _FAT * self._fat

    def paint(self, slab: Slab, texture: np.ndarray) -> np.ndarray:
        """Paint pericardium and heart; returns the heart's coverage (S, J, I)."""
        whole = np.zeros_like(slab.hu)
        low, high = self.box
        if not slab.meets(low[2], high[2]):
            return whole
        person = self._person
        part, cut = slab.window(low, high)
        heart = self.distance(part.x, part.y, part.z)
        from_sac = heart - _SAC * _FAT * self._fat
        sac = coverage(from_sac - _SAC_HALF_THICKNESS, part.pixel) - coverage(
            from_sac + _SAC_HALF_THICKNESS, part.pixel
        )
        part.blend(sac, person.muscle_hu)
        share = part.paint(heart, person.blood_hu + c.MYOCARDIUM_OVER_BLOOD_HU + 4.0 * texture[cut])
        whole[cut] = share
        self._paint_chambers(part, heart)
        self._paint_grooves(part, heart, share)
        return whole

    def _paint_chambers(self, part: Slab, heart: np.ndarray) -> None:
        size = self.size
        p, q, r = self._along_axes(part.x, part.y, part.z)
        left = ellipsoid(p - 3.0, q - 11.0 * size, r + 3.0, (40.0 * size, 19.0 * size, 20.0 * size))
        right = ellipsoid(p + 2.0, q + 20.0 * size, r + 2.0, (44.0 * size, 13.0 * size, 24.0 * size))
        for chamber in (left, right, self._atria(part.x, part.y, part.z) + 3.0):
            part.paint(np.maximum(chamber, heart + 3.0), self._person.blood_hu)

    def _paint_grooves(self, part: Slab, heart: np.ndarray, share: np.ndarray) -> None:
        """Fat between atria and ventricles and, less deep, between the ventricles."""
        p, q, r = self._along_axes(part.x, part.y, part.z)
        depth = np.clip(1.0 + heart / (15.0 * self.size), 0, 1) * self._fat
        value = self._person.fat_hu + _GROOVE_HU_OVER_FAT
        valves = np.abs(p + 48.0 * self.size) - 4.5 * depth
        part.blend(coverage(np.maximum(valves, -heart - 13.0), part.pixel) * share * 0.9, value)
        septum = np.maximum(np.abs(q + 6.0 * self.size) - 3.0 * depth, -heart - 8.0)
        part.blend(coverage(np.maximum(septum, -r), part.pixel) * share * 0.85, value)
