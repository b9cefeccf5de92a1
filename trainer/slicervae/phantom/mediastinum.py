"""Great vessels, trachea and oesophagus, and the space that they and the heart take from the lungs.

The courses of the vessels are schematic, after cross-sectional atlases of the thorax; the diameters of aorta and
trachea are the person's. Points are given as (to the left, in front of the spine, above the carina) and turned into
patient coordinates.
"""

import numpy as np

from .heart import Heart
from .person import Stream, random_stream
from .shapes import Point, Segment, Slab, ellipse, polyline, smooth_min
from .spine import Spine
from .torso import Torso

_WALL = 1.8  # of the trachea
_AIR_IN_TRACHEA_HU = -995.0
_SWALLOWED_AIR_HU = -650.0  # a little air in folds, never a clear lumen
_SHARE_WITH_SWALLOWED_AIR = 0.6


class Mediastinum:
    """What lies between the lungs of one person."""

    def __init__(self, torso: Torso, spine: Spine, seed: int, number: int) -> None:
        random = random_stream(seed, number, Stream.MEDIASTINUM)
        self._torso, self._spine, self._person = torso, spine, torso.person
        self._fat = float(np.clip(1.0 + 0.03 * (self._person.body_mass_index - 26.0), 0.75, 1.4))
        self.carina_z = float(spine.tops[4]) - 4.0 + float(random.normal(0, 5.0))
        self.heart = Heart(torso, self._fat)
        arch = 26.0 + float(random.normal(0, 3.0))  # top of the aortic arch above the carina
        end = -290.0 - self.carina_z  # below the scan
        self._aorta, self._branches = self._arteries(arch, end)
        self._veins = self._systemic_veins(end)
        self._pulmonary = self._pulmonary_arteries()
        self.hila, self._atrial_veins = self._pulmonary_hila()
        self.bronchial_hila, self._main_bronchi, trachea = self._airway_tubes()
        self._airways = [*trachea, *self._main_bronchi]
        self._airway_walls = [tube.grown(_WALL) for tube in self._airways]
        self._oesophagus = self._oesophageal_tubes()
        holds_air = random.random() < _SHARE_WITH_SWALLOWED_AIR
        self._swallowed_air = [tube.grown(2.2 - tube.start_radius) for tube in self._oesophagus[:3] if holds_air]

    def at(self, left: float, before: float, above: float) -> Point:
        """Patient coordinates of a point given relative to the front of the spine and the carina."""
        z = self.carina_z + above
        return (left, self._torso.spine_y_at(z) - self._spine.depth_at(z) / 2 - before, z)

    # --- Tubes -------------------------------------------------------------------------------------------------------
    def _arteries(self, arch: float, end: float) -> tuple[list[Segment], list[Segment]]:
        """(the aorta from its root to below the scan, the arteries that leave its arch)."""
        at, person = self.at, self._person
        rise, drop = person.ascending_aorta_mm / 2, person.descending_aorta_mm / 2
        x, y, z = self.heart.centre
        down = 10.0 + drop  # the descending aorta lies to the left of the spine
        course = [
            ((x - 22.0, y + 2.0, z + 32.0), 1.05 * rise),
            (at(-19.0, 44.0, -18.0), rise),
            (at(-16.0, 44.0, 4.0), rise),
            (at(-8.0, 38.0, arch - 8.0), 0.93 * rise),
            (at(6.0, 25.0, arch), 0.85 * rise),
            (at(down + 2.0, 9.0, arch - 7.0), 1.06 * drop),
            (at(down + 4.0, 2.0, 6.0), 1.03 * drop),
            (at(down + 5.0, -3.0, -20.0), drop),
            (at(down + 3.0, -3.0, -60.0), drop),
            (at(down - 4.0, 2.0, -100.0), drop),
            (at(7.0, drop + 3.0, -145.0), 0.93 * drop),
            (at(3.0, drop + 4.0, end), 0.9 * drop),
        ]
        brachiocephalic = [
            at(-6.0, 33.0, arch),
            at(-14.0, 26.0, arch + 20.0),
            at(-24.0, 22.0, 78.0),
            at(-34.0, 16.0, 105.0),
        ]
        carotid = [at(6.0, 26.0, arch + 2.0), at(14.0, 24.0, arch + 22.0), at(24.0, 20.0, 105.0)]
        left_subclavian = [
            at(14.0, 16.0, arch + 2.0),
            at(22.0, 12.0, arch + 24.0),
            at(36.0, 8.0, 85.0),
            at(70.0, 16.0, 96.0),
        ]
        right_subclavian = [at(-24.0, 22.0, 78.0), at(-44.0, 10.0, 88.0), at(-74.0, 18.0, 96.0)]
        branches = [
            *polyline(brachiocephalic, [6.5, 6.0, 5.0, 4.5]),
            *polyline(carotid, [4.5, 4.0, 3.5]),
            *polyline(left_subclavian, [5.0, 5.0, 4.5, 4.0]),
            *polyline(right_subclavian, [4.5, 4.5, 4.0]),
        ]
        return polyline([point for point, _ in course], [radius for _, radius in course]), branches

    def _systemic_veins(self, end: float) -> list[Segment]:
        """Superior vena cava with the brachiocephalic veins, azygos vein, and inferior vena cava."""
        at = self.at
        x, y, z = self.heart.centre
        right_atrium = (x - 42.0, y + 14.0, z - 22.0)
        through_liver = at(-25.0, 24.0, self._torso.right_dome_z - 25.0 - self.carina_z)
        return [
            *polyline([at(-27.0, 40.0, 46.0), at(-29.0, 40.0, 10.0), at(-30.0, 40.0, -40.0)], [8.0, 9.5, 10.0]),
            *polyline([at(30.0, 38.0, 66.0), at(6.0, 50.0, 50.0), at(-25.0, 42.0, 40.0)], [6.0, 6.5, 7.0]),
            *polyline([at(-27.0, 40.0, 46.0), at(-38.0, 32.0, 80.0)], [7.5, 6.5]),
            *polyline([at(-8.0, 2.5, end), at(-8.0, 2.5, 0.0)], [3.0, 4.0]),
            *polyline([at(-8.0, 2.5, 0.0), at(-22.0, 12.0, 9.0), at(-27.0, 34.0, 4.0)], [4.0, 4.0, 4.0]),
            *polyline([right_atrium, through_liver, at(-21.0, 14.0, end)], [12.0, 11.0, 11.0]),
        ]

    def _pulmonary_arteries(self) -> list[Segment]:
        at = self.at
        x, y, z = self.heart.centre
        trunk = [(x - 6.0, y - 18.0, z + 34.0), at(20.0, 50.0, -32.0), at(20.0, 40.0, -16.0)]
        left = [at(20.0, 38.0, -14.0), at(36.0, 20.0, -12.0), at(46.0, 6.0, -24.0)]
        right = [at(16.0, 37.0, -18.0), at(-14.0, 23.0, -20.0), at(-42.0, 19.0, -24.0)]
        return [
            *polyline(trunk, [14.5, 14.0, 13.5]),
            *polyline(left, [12.5, 11.0, 8.5]),
            *polyline(right, [12.0, 10.5, 9.0]),
        ]

    def _pulmonary_hila(self) -> tuple[dict[str, tuple[Point, Point]], list[Segment]]:
        """(by side, where arteries and veins enter the lung; the veins from there to the left atrium)."""
        x, y, z = atrium = self.heart.left_atrium
        hila = {
            "R": (self.at(-42.0, 19.0, -24.0), (x - 42.0, y + 4.0, z - 2.0)),
            "L": (self.at(46.0, 6.0, -24.0), (x + 42.0, y + 4.0, z - 2.0)),
        }
        veins = [Segment(atrium, vein, 9.0, 6.5) for _, vein in hila.values()]
        return hila, veins

    def _airway_tubes(self) -> tuple[dict[str, Point], list[Segment], list[Segment]]:
        """(by side, where the bronchi enter the lung; the main bronchi; the trachea)."""
        at, person = self.at, self._person
        radius = float(np.sqrt(person.trachea_transverse_mm * person.trachea_sagittal_mm)) / 2
        hila = {"R": at(-34.0, 12.0, -22.0), "L": at(40.0, 9.0, -30.0)}
        bronchi = [
            Segment(at(-4.0, 16.0, 3.0), hila["R"], 0.78 * radius, 0.68 * radius),
            Segment(at(-2.0, 16.0, 3.0), hila["L"], 0.72 * radius, 0.60 * radius),
        ]
        trachea = polyline([at(-3.0, 18.0, 110.0), at(-4.0, 17.0, 50.0), at(-3.0, 16.0, 0.0)], [radius] * 3)
        return hila, bronchi, trachea

    def _oesophageal_tubes(self) -> list[Segment]:
        at = self.at
        course = [
            at(4.0, 5.5, 110.0),
            at(5.0, 5.5, 30.0),
            at(7.0, 6.0, -30.0),
            at(4.0, 9.0, -80.0),
            at(10.0, 17.0, -120.0),
            at(24.0, 26.0, -150.0),
        ]
        return polyline(course, [7.0, 7.0, 7.5, 7.5, 8.5, 9.5])

    # --- The space they take -----------------------------------------------------------------------------------------
    def space(self, field: Slab) -> np.ndarray:
        """Distance to the mediastinum, which the lungs can't enter. Shape of ``field.x``."""
        distance = smooth_min(self._spine.column(field.x, field.y, field.z), self._fat_planes(field), 10.0)
        low, high = self.heart.box
        if field.meets(low[2], high[2]):
            part, cut = field.window(low, high)
            distance[cut] = smooth_min(distance[cut], self.heart.with_fat(part.x, part.y, part.z), 9.0)
        for segments, gap, corner in (
            (self._aorta, 2.5, 6.0),
            (self._pulmonary, 2.0, 6.0),
            (self._veins, 2.5, 7.0),
            (self._branches, 3.5, 7.0),
            (self._main_bronchi, 3.5, 6.0),
            (self._atrial_veins, 2.0, 6.0),
            (self._oesophagus, 2.0, 5.0),
        ):
            for segment in segments:
                lowest, highest = segment.grown(gap + corner).box
                if field.meets(lowest[2], highest[2]):
                    part, cut = field.window(lowest, highest)
                    tube = segment.distance(part.x, part.y, part.z) - gap
                    distance[cut] = smooth_min(distance[cut], tube, corner)
        return distance

    def _fat_planes(self, field: Slab) -> np.ndarray:
        """Distance to the fat about trachea and vessels in front of the spine, and to the fold behind the sternum."""
        x, y, z = field.x, field.y, field.z
        spine, front, t = self._torso.spine_y(z), self._torso.cage(z).front, self._torso.level(z)
        middle = 0.5 * (front + spine)
        upper = np.clip((z - self.carina_z + 15.0) / 20.0, 0, 1)
        centre = 0.6 * spine + 0.4 * middle
        half_width, half_depth = (15.0 + 9.0 * upper) * self._fat, 0.5 * (spine - middle) + 16.0
        column = ellipse(x + 1.0 - 4.0 * upper, y - centre, half_width, half_depth)
        # The pleurae almost touch behind the body of the sternum, and part above and below it.
        parting = 9.0 * np.clip((0.32 - t) / 0.3, 0, 1) + 7.0 * np.clip((t - 0.62) / 0.2, 0, 1)
        behind_sternum = 7.2 * np.clip(1.0 - (y - front) / 18.0, 0, 1)
        fold = np.maximum(np.abs(x - 3.0) - (2.5 + parting) * self._fat - behind_sternum, y - middle)
        return smooth_min(column, fold, 10.0)

    # --- Painting ----------------------------------------------------------------------------------------------------
    def paint_vessels(self, slab: Slab) -> None:
        """Paint the great vessels and the oesophagus."""
        for vessels in (self._veins, self._pulmonary, self._atrial_veins, self._aorta, self._branches):
            slab.paint_segments(vessels, self._person.blood_hu)
        slab.paint_segments(self._oesophagus, self._person.muscle_hu - 10.0)
        slab.paint_segments(self._swallowed_air, _SWALLOWED_AIR_HU)

    def paint_airways(self, slab: Slab) -> None:
        """Paint trachea and main bronchi: walls, then air."""
        slab.paint_segments(self._airway_walls, self._person.muscle_hu - 5.0)
        slab.paint_segments(self._airways, _AIR_IN_TRACHEA_HU)
