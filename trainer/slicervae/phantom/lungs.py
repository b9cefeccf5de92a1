"""Lungs: their outer shape, parenchyma, and the trees of arteries, veins and bronchi inside them.

A tree joins points spread evenly through a lung to its hilum, each by the shortest way along what has already grown;
radii follow Murray's law from the number of twigs beyond.
"""

import dataclasses

import numpy as np

from . import constants as c
from .mediastinum import Mediastinum
from .person import Stream, random_stream
from .shapes import Point, Segment, Slab, coverage, smooth_max
from .torso import Place, Torso

_PLEURA = 0.6
_SMALLEST_BRONCHUS = 1.6  # radius; the walls of smaller ones are too thin to show
_AIR_IN_BRONCHI_HU = -985.0
_STEP = 11.0  # longest straight piece of a branch, mm
_DETOUR = 0.45  # how much a way along the tree counts against a straight way to a new twig


@dataclasses.dataclass(frozen=True)
class LungDistances:
    """Signed distances to the pleural spaces, R and L."""

    right: np.ndarray
    left: np.ndarray

    def of(self, side: str) -> np.ndarray:
        """Distance to the pleural space of that side, "R" or "L"."""
        return self.right if side == "R" else self.left


class Lungs:
    """The lungs of one person."""

    def __init__(self, torso: Torso, mediastinum: Mediastinum, seed: int, number: int) -> None:
        self._torso, self._mediastinum, self._person = torso, mediastinum, torso.person
        random = random_stream(seed, number, Stream.LUNGS)
        self.vessels: list[Segment] = []
        bronchi: list[Segment] = []
        self.fissures = {side: float(random.normal(0.0, 6.0)) for side in "RL"}
        for side in "RL":
            inside = self._points_inside(side, random)
            artery, vein = mediastinum.hila[side]
            self.vessels += _tree(artery, inside[:240], 7.8, random)
            self.vessels += _tree(vein, inside[240:410], 6.4, random)
            airway = mediastinum.bronchial_hila[side]
            bronchi += _tree(airway, inside[410:428], 4.6, random)
        self._bronchi = [tube for tube in bronchi if tube.start_radius > _SMALLEST_BRONCHUS]
        self._bronchial_walls = [tube.grown(0.25 * tube.start_radius) for tube in self._bronchi]

    def distances(self, field: Slab, place: Place) -> LungDistances:
        """Distances to the right and the left pleural space at the points of ``field``."""
        torso = self._torso
        space = self._mediastinum.space(field)
        hull = smooth_max(place.u + _PLEURA, -space, 5.0)
        if field.meets(-45.0, np.inf):
            hull = smooth_max(hull, torso.cupola(field.x, field.y, field.z), 5.0)
        if field.meets(-np.inf, torso.right_dome_z + 10.0):
            hull = smooth_max(hull, -torso.diaphragm(field.x, field.y, field.z), 3.0)
        return LungDistances(right=np.maximum(hull, field.x + 0.8), left=np.maximum(hull, 0.8 - field.x))

    def _points_inside(self, side: str, random: np.random.Generator, wanted: int = 428) -> np.ndarray:
        """``wanted`` points (N, 3) spread evenly through a lung, at least 3 mm under its surface, in random order."""
        torso = self._torso
        spacing = 17.0
        while True:
            axes = [
                np.arange(lo, hi, spacing) for lo, hi in ((4, torso.half_width), (-200, 60), (-torso.lung_height, 0))
            ]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
            grid = grid + random.uniform(-0.45, 0.45, grid.shape) * spacing
            if side == "R":
                grid[:, 0] *= -1
            field = point_field(grid)
            distances = self.distances(field, torso.locate(field.x, field.y, field.z))
            inside = grid[distances.of(side).ravel() < -3.0]
            if len(inside) >= wanted:
                return random.permutation(inside)[:wanted]
            spacing *= 0.9

    def parenchyma(self, slab: Slab, texture: np.ndarray) -> np.ndarray:
        """HU of the lung between its visible vessels: denser where it lies lower, that is further back."""
        person, torso = self._person, self._torso
        cage = torso.cage(slab.z)
        depth = (slab.y - cage.front) / (cage.in_front + cage.behind)
        return person.lung_hu + person.lung_gravity_hu * (depth - 0.5) + 14.0 * texture

    def paint_fissures(self, slab: Slab, lungs: np.ndarray) -> None:
        """Paint the oblique fissures, thin as they are."""
        for side, sign in (("R", -1.0), ("L", 1.0)):
            height = 0.30 * self._torso.lung_height
            plane = (
                slab.z
                + height
                + 0.95 * (self._torso.spine_y(slab.z) + 20.0 - slab.y) * 1.0
                + self.fissures[side]
                + 0.0009 * (np.abs(slab.x) - 70.0) ** 2
            )
            thin = np.maximum(0.0, 1.0 - np.abs(plane) / 1.38 / max(slab.pixel, 1.2)) * 0.35 / max(slab.pixel, 1.2)
            slab.blend(thin * lungs * (sign * slab.x > 0), self._person.muscle_hu)

    def paint_tubes(self, slab: Slab, thick: list[Segment], distances: LungDistances) -> None:
        """Paint those vessels that are wider than a voxel, ``thick``, then the bronchi with their walls."""
        # They cross the fat of the hilum, but a straight piece of them must not show in the liver.
        gap = 4.0 if slab.lowest > self._torso.right_dome_z else 0.0
        within = coverage(np.minimum(distances.right, distances.left) - gap, slab.pixel)
        slab.paint_segments(thick, self._person.blood_hu, within)
        slab.paint_segments(self._bronchial_walls, self._person.muscle_hu - 20.0, within)
        slab.paint_segments(self._bronchi, _AIR_IN_BRONCHI_HU, within)


def point_field(points: np.ndarray) -> Slab:
    """Points (N, 3) as a field that distances can be asked at; it can't be cut by windows."""
    x, y, z = (points[:, k].astype(np.float32)[None, None, :] for k in range(3))
    return _Points(x, y, z, np.zeros_like(x), columns=points[:, 0], rows=points[:, 1], pixel=1.0)


class _Points(Slab):
    """Scattered points with the interface of a slab."""

    def window(self, low: np.ndarray | Point, high: np.ndarray | Point) -> tuple[Slab, tuple[slice, slice, slice]]:  # noqa: ARG002
        """All points: scattered ones have no rows and columns to cut by."""
        return self, (slice(None), slice(None), slice(None))


def _tree(root: Point, tips: np.ndarray, root_radius: float, random: np.random.Generator) -> list[Segment]:
    """A tree of tubes from ``root`` to all ``tips`` (N, 3); its first tube has ``root_radius``."""
    places, ways = np.empty((40 * len(tips), 3)), np.empty(40 * len(tips))
    places[0], ways[0] = root, 0.0
    parents, tip_nodes = [-1], []
    for tip in tips[np.argsort(np.linalg.norm(tips - places[0], axis=1))]:
        count = len(parents)
        direct = np.linalg.norm(places[:count] - tip, axis=1)
        node = start = int(np.argmin(direct + _DETOUR * ways[:count]))
        pieces = max(1, int(np.ceil(direct[start] / _STEP)))
        shares = (np.arange(1, pieces + 1) / pieces)[:, None]
        sway = random.normal(0.0, 0.06 * direct[start], 3)
        new = places[start] + shares * (tip - places[start]) + np.sin(np.pi * shares) * sway
        for place in new:
            ways[len(parents)] = ways[node] + float(np.linalg.norm(place - places[node]))
            places[len(parents)] = place
            parents.append(node)
            node = len(parents) - 1
        tip_nodes.append(node)
    places = places[: len(parents)]
    twigs = np.zeros(len(places))
    twigs[tip_nodes] += 1
    for node in range(len(places) - 1, 0, -1):
        twigs[parents[node]] += twigs[node]
    radii = root_radius * (np.maximum(twigs, 1) / len(tips)) ** (1 / c.MURRAY_EXPONENT)
    ends = np.where(twigs <= 1, 0.8 * radii, radii)  # the last twig tapers away
    ends[tip_nodes] = 0.3
    segments = []
    for node in range(1, len(places)):
        (x0, y0, z0), (x1, y1, z1) = places[parents[node]].tolist(), places[node].tolist()
        segments.append(Segment((x0, y0, z0), (x1, y1, z1), float(radii[node]), float(ends[node])))
    return segments
