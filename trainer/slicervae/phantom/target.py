"""The planning target volume: around a nodule, or where a tumour of the lung or its lymph nodes could lie."""

import dataclasses

import numpy as np

from .lesions import Effusion, Nodule
from .lungs import Lungs, point_field
from .mediastinum import Mediastinum
from .person import Stream, random_stream
from .shapes import Point, Slab, ellipsoid
from .torso import Torso

_MARGIN = 10.0  # from tumour to target, mm: microscopic spread, breathing and set-up
_SCHEMES = ((60.0, 30), (66.0, 33), (55.0, 20))  # gray, fractions: usual for the lung
_SMALLEST, _LARGEST = (20.0, 20.0, 22.0), (34.0, 32.0, 38.0)  # half-axes without a nodule, mm


@dataclasses.dataclass(frozen=True)
class Target:
    """A planning target; ``site`` says where, ``prescription_gy`` in ``fractions`` what it is to get."""

    site: str
    centre: Point  # patient coordinates
    axes: Point
    nodule: Nodule | None
    prescription_gy: float
    fractions: int

    @property
    def box(self) -> tuple[Point, Point]:
        """Lowest and highest corner of the target."""
        reach = (self.nodule.reach + _MARGIN,) * 3 if self.nodule is not None else self.axes
        (x, y, z), (a, b, c) = self.centre, reach
        return (x - a, y - b, z - c), (x + a, y + b, z + c)

    def distance(self, slab: Slab) -> np.ndarray:
        """Distance to the target at the points of ``slab``."""
        if self.nodule is not None:
            return self.nodule.distance(slab.x, slab.y, slab.z) - _MARGIN
        return ellipsoid(slab.x - self.centre[0], slab.y - self.centre[1], slab.z - self.centre[2], self.axes)


def draw_target(
    lesion: Nodule | Effusion | None,
    lungs: Lungs,
    mediastinum: Mediastinum,
    torso: Torso,
    seed: int,
    number: int,
) -> Target:
    """The target of patient ``number``."""
    random = random_stream(seed, number, Stream.TARGET)
    prescription, fractions = _SCHEMES[int(random.integers(len(_SCHEMES)))]
    a, b, c = (float(v) for v in random.uniform(_SMALLEST, _LARGEST))
    if isinstance(lesion, Nodule):
        return Target(f"nodule {lesion.side}", lesion.centre, (a, b, c), lesion, prescription, fractions)
    if random.random() < 0.5:
        centre = mediastinum.at(float(random.normal(0, 8)), 24.0, float(random.uniform(-45, 15)))
        return Target("mediastinum", centre, (a, b, c), None, prescription, fractions)
    side, sign = ("R", -1.0) if random.random() < 0.5 else ("L", 1.0)
    low = np.array([0.25 * torso.half_width, -130.0, -0.75 * torso.lung_height])
    high = np.array([0.85 * torso.half_width, 20.0, -0.12 * torso.lung_height])
    places = random.uniform(low, high, (400, 3)) * (sign, 1.0, 1.0)
    field = point_field(places)
    distances = lungs.distances(field, torso.locate(field.x, field.y, field.z))
    x, y, z = map(float, places[int(np.argmax(distances.of(side).ravel() < -14.0))])
    return Target(f"lung {side}", (x, y, z), (a, b, c), None, prescription, fractions)
