"""The chest wall: muscles, fat, breasts and skin around the cage, and the couch that the patient lies on.

Layers are painted by their thickness over the angle around the body, so that a layer thinner than a voxel still
contributes what it holds. Thicknesses of single muscles are schematic, after cross-sectional atlases.
"""

import dataclasses

import numpy as np

from . import constants as c
from .person import Stream, random_stream
from .shapes import Curve, Slab, coverage, smooth_max
from .torso import Place, Torso

RIB_LAYER = 9.5  # from the pleura to the outside of the ribs
COUCH_HALF_WIDTH = 265.0
COUCH_THICKNESS = 52.0
COUCH_SHELL = 2.5
_PRESSED_FLAT = 9.0  # how far the couch dents the back


@dataclasses.dataclass(frozen=True)
class _Muscle:
    """A sheet: millimetres thick at most, about ``angle`` ± ``spread`` degrees, ``gap`` outside the rib layer."""

    thickness: float
    angle: float
    spread: float
    along: Curve
    gap: float = 0.8


_PECTORAL = _Muscle(
    17.0, 38.0, 34.0, Curve([(-0.02, 0.0), (0.08, 0.7), (0.2, 1.0), (0.36, 0.8), (0.52, 0.1), (0.6, 0)])
)
_SERRATUS = _Muscle(12.0, 100.0, 40.0, Curve([(0.1, 0.3), (0.3, 1.0), (0.6, 0.8), (0.85, 0.55), (1.1, 0.7)]))
_SUBSCAPULAR = _Muscle(12.0, 136.0, 30.0, Curve([(-0.1, 0.8), (0.1, 1.0), (0.28, 0.9), (0.45, 0.0)]))
_INFRASPINATUS = _Muscle(13.0, 136.0, 28.0, Curve([(-0.1, 0.8), (0.1, 1.0), (0.28, 0.8), (0.43, 0.0)]), gap=18.0)
_ABDOMINAL = _Muscle(10.0, 22.0, 44.0, Curve([(0.62, 0.0), (0.8, 0.8), (1.0, 1.0), (1.2, 1.0)]))
_MUSCLES = (_PECTORAL, _SERRATUS, _SUBSCAPULAR, _INFRASPINATUS, _ABDOMINAL)

# Shoulders of a patient whose arms lie above the head: how far they stand out beyond the chest wall
_SHOULDER = Curve([(-0.12, 1.0), (-0.02, 0.86), (0.05, 0.5), (0.12, 0.15), (0.2, 0.0)])
_SHOULDER_REACH = 98.0
_TRAPEZIUS = Curve([(-0.1, 9.0), (0.2, 7.0), (0.5, 6.0), (0.8, 3.5), (1.1, 3.5)])
_ERECTOR = 31.0


def _window(theta: np.ndarray, centre: float, spread: float) -> np.ndarray:
    """1 about ±centre degrees, falling smoothly to 0 at ``spread`` degrees from it."""
    away = np.clip((np.abs(theta) - np.float32(np.radians(centre))) / np.float32(np.radians(spread)), -1.0, 1.0)
    return (1.0 - away * away) ** 2


class ChestWall:
    """What lies around the cage of one person, and the couch."""

    def __init__(self, torso: Torso, seed: int, number: int) -> None:
        random = random_stream(seed, number, Stream.WALL)
        self._torso, self._person = torso, torso.person
        self._breast_angle = float(random.normal(44.0, 4.0))
        self._breast_level = -torso.lung_height * float(random.normal(0.5, 0.03))
        self._gland_share = float(random.uniform(0.15, 0.75))
        self.back_y = self._back_of(np.linspace(-torso.lung_height, -0.25 * torso.lung_height, 40))

    def _back_of(self, heights: np.ndarray) -> float:
        """Where the couch's top lies: the back presses into it by a few millimetres."""
        straight_back = np.full((len(heights), 1), np.pi, dtype=np.float32)
        place = Place(np.zeros_like(straight_back), straight_back, self._torso.level(heights)[:, None])
        _, skin = self.surfaces(place, heights[:, None].astype(np.float32))
        return float((self._torso.cage(heights.astype(np.float32)).back + skin[:, 0]).max()) - _PRESSED_FLAT

    def surfaces(self, place: Place, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances u of the outside of the muscles and of the skin."""
        person, theta, t = self._person, place.theta, place.t
        # The fourth-power mean lets the thickest muscle shape the surface without edges between muscles.
        total = (_ERECTOR * _window(theta, 158.0, 48.0)) ** 2
        total *= total
        for muscle in _MUSCLES:
            along = np.minimum(1.6 * muscle.along(t), 1.0) * np.float32(
                muscle.gap + muscle.thickness * person.muscularity
            )
            top = (along * _window(theta, muscle.angle, muscle.spread)) ** 2
            total += top * top
        muscles = RIB_LAYER + np.sqrt(np.sqrt(total)) + _TRAPEZIUS(t) * 0.6 * _window(theta, 160.0, 40.0)
        shoulder = _SHOULDER_REACH * _SHOULDER(t) * _window(theta, 98.0, 62.0)
        cosine = np.cos(theta)
        fat = person.fat_thickness_mm * (1.0 - 0.28 * cosine + 0.25 * np.clip(t, 0, 1.2) - 0.30 * cosine**8)
        if person.breast_thickness_mm:
            angle = np.degrees(np.abs(theta)) - self._breast_angle
            bump = np.exp(-0.5 * (angle / 21.0) ** 2 - 0.5 * ((z - self._breast_level) / 40.0) ** 2)
            fat = fat + person.breast_thickness_mm * bump
        muscles = muscles + 0.78 * shoulder
        return muscles, muscles + fat + 0.22 * shoulder + c.SKIN_THICKNESS

    def paint(self, slab: Slab, place: Place, texture: np.ndarray) -> np.ndarray:
        """Paint body surface, fat and muscles; returns the body's coverage (S, J, I)."""
        person = self._person
        body = np.zeros(slab.hu.shape, dtype=np.float32)
        inside = place.u < 0.3
        body[inside] = 1.0
        outer = np.nonzero(~inside & (place.u < 190.0))
        z = np.broadcast_to(slab.z, slab.hu.shape)[outer]
        here = Place(place.u[outer], place.theta[outer], np.broadcast_to(place.t, slab.hu.shape)[outer])
        muscle_top, skin_top = self.surfaces(here, z)
        to_couch = slab.y[outer] - self.back_y
        skin = smooth_max(here.u - skin_top, to_couch, 12.0)
        share = coverage(skin, slab.pixel)
        body[outer] = share
        # The back is pressed flat: what is cut off there would otherwise leave no fat between muscle and couch.
        slab.hu += body * (c.SKIN_HU - slab.hu)
        under_skin = coverage(skin + c.SKIN_THICKNESS, slab.pixel)
        interior = np.zeros_like(body)
        interior[inside] = 1.0
        interior[outer] = under_skin
        slab.hu += interior * (person.fat_hu + 7.0 * texture - slab.hu)
        hu = slab.hu[outer]
        if person.breast_thickness_mm:
            self._blend_glands(hu, here, z, muscle_top, skin, texture[outer], slab.pixel)
        self._blend_muscles(hu, here, muscle_top, skin, texture[outer], slab.pixel)
        slab.hu[outer] = hu
        return body

    def _blend_muscles(
        self,
        hu: np.ndarray,
        place: Place,
        muscle_top: np.ndarray,
        skin: np.ndarray,
        texture: np.ndarray,
        pixel: float,
    ) -> None:
        person, u, theta = self._person, place.u, place.theta
        tissue = person.muscle_hu + 6.0 * texture
        below_fat = coverage(np.maximum(u - muscle_top, skin + 4.0), pixel)

        def lay(inner: np.ndarray | float, outer: np.ndarray) -> None:
            share = coverage(u - outer, pixel) - coverage(u - inner, pixel)
            hu[...] += np.maximum(share, 0.0) * below_fat * (tissue - hu)

        lay(0.8, np.where(place.t > -0.02, RIB_LAYER - 0.8, 0.0))  # between the ribs
        for muscle in _MUSCLES:
            thickness = muscle.thickness * person.muscularity * muscle.along(place.t)
            inner = RIB_LAYER + muscle.gap
            lay(inner, inner + thickness * _window(theta, muscle.angle, muscle.spread))
        shoulder = _SHOULDER(place.t) * _window(theta, 98.0, 62.0)
        lay(RIB_LAYER + 6.0 + 22.0 * (1 - shoulder), np.where(shoulder > 0.02, muscle_top - 2.0 * (1 - shoulder), 0.0))
        erector = _window(theta, 164.0, 26.0)
        lay(RIB_LAYER - 0.5, np.where(erector > 0.03, RIB_LAYER + (_ERECTOR - 7.0) * np.sqrt(erector), 0.0))
        lay(muscle_top - _TRAPEZIUS(place.t) * _window(theta, 160.0, 46.0), muscle_top)

    def _blend_glands(
        self,
        hu: np.ndarray,
        place: Place,
        z: np.ndarray,
        muscle_top: np.ndarray,
        skin: np.ndarray,
        texture: np.ndarray,
        pixel: float,
    ) -> None:
        angle = (np.degrees(np.abs(place.theta)) - self._breast_angle) / 15.0
        depth = (place.u - muscle_top - 0.55 * self._person.breast_thickness_mm) / (
            0.42 * self._person.breast_thickness_mm
        )
        away = np.sqrt(angle**2 + depth**2 + ((z - self._breast_level) / 30.0) ** 2)
        share = np.clip(1.2 - away, 0.0, 1.0) * coverage(skin + 7.0, pixel)
        lobes = np.clip(0.5 + 0.9 * texture + 1.6 * (self._gland_share - 0.5), 0.0, 1.0)
        hu += share * lobes * (c.GLAND_HU - hu)

    def paint_couch(self, slab: Slab) -> None:
        """Paint the couch, straight however the patient is rolled."""
        x, y = slab.columns[None, None, :], slab.rows[None, :, None]
        middle = self.back_y + COUCH_THICKNESS / 2
        bevel = np.maximum(np.abs(x) - (COUCH_HALF_WIDTH - 70.0), 0.0) * 0.42
        low = np.abs(y - middle) - COUCH_THICKNESS / 2
        couch = np.maximum(np.maximum(low, np.abs(x) - COUCH_HALF_WIDTH), y - middle - COUCH_THICKNESS / 2 + bevel)
        slab.paint(couch, c.CARBON_FIBRE_HU)
        slab.paint(couch + COUCH_SHELL, c.FOAM_HU)
