"""Ribs and their cartilage, sternum, clavicles, scapulae and humeral heads."""

import numpy as np

from . import constants as c
from .shapes import Curve, Segment, Slab, coverage, ellipse, smooth_max
from .spine import Spine
from .torso import Place, Torso
from .wall import RIB_LAYER

# Course of a rib along p, 0 at the spine and 1 at the sternum: how much of its whole descent it has made
_DESCENT = Curve(
    [(0.0, 0.0), (0.1, 0.05), (0.3, 0.36), (0.5, 0.72), (0.7, 0.97), (0.78, 1.0), (0.88, 0.93), (1.0, 0.78)]
)
_WHOLE_DESCENT = Curve([(-0.15, 24.0), (0.0, 34.0), (0.2, 66.0), (0.5, 96.0), (0.9, 108.0), (1.2, 108.0)])  # mm, by t
_HALF_ROUND = 335.0  # mm along the chest wall from p = 0 to p = 1, for the slope of a rib
_RIB_STARTS = 0.105
_RIB_ENDS = np.array([0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.94, 0.90, 0.86, 0.82, 0.45, 0.30])  # of ribs 1 to 12
_BONE_ENDS = 0.77  # where bone turns into cartilage

# Half-width of the sternum by t, manubrium to xiphoid
_STERNUM = Curve(
    [(0.105, 0.0), (0.12, 27.0), (0.22, 17.0), (0.27, 14.0), (0.45, 18.0), (0.58, 15.0), (0.64, 7.0), (0.68, 0.0)]
)
_STERNUM_THICKNESS = 11.0


class Skeleton:
    """The bones of one person's chest wall and shoulders."""

    def __init__(self, torso: Torso, spine: Spine) -> None:
        self._torso, self._spine, self._person = torso, spine, torso.person
        self._heads = self._head_heights()
        self._necks = self._rib_necks()
        self._neck_marrow = [neck.grown(-1.3) for neck in self._necks]
        self._long_bones = self._shoulder_bones()
        self._long_bone_marrow = [bone.grown(-2.1) for bone in self._long_bones]

    # --- Ribs --------------------------------------------------------------------------------------------------------
    def _head_heights(self) -> np.ndarray:
        """Heights of the heads of ribs 1 to 12: at the disc above their vertebra, ribs 1, 11 and 12 at its body."""
        heights = self._spine.tops[:12] + 1.5
        for rib in (0, 10, 11):
            heights[rib] = self._spine.tops[rib] - 7.0
        return heights

    def _rib_necks(self) -> list[Segment]:
        """From the heads of the ribs to where they meet the transverse processes."""
        necks = []
        for z in self._heads.tolist():
            back = self._torso.spine_y_at(z) + self._spine.depth_at(z) / 2
            half_width, cage = self._spine.width_at(z) / 2, self._torso.cage_at(z)
            for side in (-1.0, 1.0):
                head = (side * (half_width - 0.5), back - 4.0, z)
                bend = (side * (half_width + 13.0), back + 10.0, z - 1.5)
                tip = (side * 0.30 * self._torso.half_width, cage.widest + 0.985 * cage.behind + 4.0, z - 5.0)
                necks += [Segment(head, bend, 4.4, 4.0), Segment(bend, tip, 4.0, 4.4)]
        return necks

    def paint_ribs(self, slab: Slab, place: Place) -> None:
        """Paint ribs and costal cartilage in the layer around the cage."""
        person, middle = self._person, RIB_LAYER / 2
        shell = np.nonzero(np.abs(place.u - middle) < RIB_LAYER / 2 + slab.pixel)
        u, p = place.u[shell], 1.0 - np.abs(place.theta[shell]) / np.float32(np.pi)
        t = np.broadcast_to(place.t, slab.hu.shape)[shell]
        z = np.broadcast_to(slab.z, slab.hu.shape)[shell]
        section = self._rib_section(u - middle, p, t, z)
        cartilage = np.clip((p - _BONE_ENDS) * 60.0, 0, 1)
        outer = person.cortical_bone_hu + cartilage * (person.cartilage_hu - person.cortical_bone_hu)
        marrow = person.spongy_bone_hu + 10.0
        inner = marrow + cartilage * (person.cartilage_hu - 25.0 - marrow)
        hu = slab.hu[shell]
        hu += coverage(section, slab.pixel) * (outer - hu)
        hu += coverage(section + c.RIB_CORTEX + 1.2 * cartilage, slab.pixel) * (inner - hu)
        slab.hu[shell] = hu
        slab.paint_segments(self._necks, 0.75 * person.cortical_bone_hu)
        slab.paint_segments(self._neck_marrow, person.spongy_bone_hu + 60.0)

    def _rib_section(self, off: np.ndarray, p: np.ndarray, t: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the nearest rib, ``off`` mm outside the middle of the rib layer."""
        whole, descent = _WHOLE_DESCENT(t), _DESCENT(p)
        at_spine = z + whole * descent
        nearest = np.rint(np.interp(at_spine, self._heads[::-1], np.arange(11.0, -1.0, -1.0))).astype(int)
        # Ribs fan out towards the front, and a horizontal slice cuts a sloping rib longer than it is high.
        fanning = np.maximum(1.0 - _WHOLE_DESCENT.slope(t) / self._torso.lung_height * descent, 0.4)
        slope = whole * _DESCENT.slope(p) / _HALF_ROUND
        along = (at_spine - self._heads[nearest].astype(np.float32)) / fanning / np.sqrt(1.0 + slope * slope)
        section = ellipse(along, off, self._person.rib_height_mm / 2, self._person.rib_thickness_mm / 2)
        end = _RIB_ENDS[nearest].astype(np.float32)
        return np.maximum(smooth_max(section, (p - end) * _HALF_ROUND, 4.0), (_RIB_STARTS - p) * _HALF_ROUND)

    # --- Sternum and shoulder girdle ---------------------------------------------------------------------------------
    def paint_sternum(self, slab: Slab, place: Place) -> None:
        """Paint the sternum in front of the cage."""
        half_width = _STERNUM(place.t)
        if half_width.max() < 2.0:
            return
        part, cut = slab.window((-45.0, -260.0, 0.0), (45.0, 20.0, 0.0))
        off = place.u[cut] - 1.5 - _STERNUM_THICKNESS / 2
        round_bone = ellipse(part.x, off, np.maximum(half_width, 0.1), _STERNUM_THICKNESS / 2)
        square_bone = np.maximum(np.abs(part.x) - half_width, np.abs(off) - _STERNUM_THICKNESS / 2)
        is_in_front = (np.abs(place.theta[cut]) < 1.2) & (half_width > 2.0)
        bone = np.where(is_in_front, 0.5 * (round_bone + square_bone), np.float32(50.0))
        part.paint(bone, 0.6 * self._person.cortical_bone_hu)
        part.paint(bone + 1.1, self._person.spongy_bone_hu - 20.0)

    def _shoulder_bones(self) -> list[Segment]:
        """Clavicles and humeri of a patient whose arms lie above the head."""
        torso = self._torso
        start_z = -0.125 * torso.lung_height
        front, neck = torso.cage_at(start_z).front - 8.0, torso.cage_at(12.0).half_width
        bones = []
        for side in (-1.0, 1.0):
            medial = (side * 22.0, front, start_z)
            bend = (side * 62.0, front - 4.0, start_z + 24.0)
            lateral = (side * (neck + 62.0), torso.spine_y_at(10.0) - 14.0, 30.0)
            x, y, z = head = (side * (neck + 66.0), torso.cage_at(start_z).widest - 8.0, 16.0)
            bones += [Segment(medial, bend, 9.0, 6.0), Segment(bend, lateral, 6.0, 6.0)]
            bones.append(Segment(head, (x + side * 14.0, y + 2.0, z + 44.0), 22.0, 13.0))
        return bones

    def paint_shoulders(self, slab: Slab, place: Place) -> None:
        """Paint scapulae, clavicles and humeral heads."""
        person, t = self._person, np.clip(place.t, 0.0, 0.43)
        if place.t.min() < 0.43:
            degrees = np.degrees(np.abs(place.theta))
            half_spread = 21.0 - 34.0 * t
            blade = np.clip((0.43 - place.t) * 96.0, 0, 1) * np.clip(
                8.0 - 8.0 * np.abs(degrees - 134.0) / half_spread, 0, 1
            )
            border = np.exp(-0.5 * ((degrees - 112.0 - 30.0 * t) / 4.0) ** 2)  # the thick lateral one
            half = 1.7 + 3.5 * border
            off = np.abs(place.u - RIB_LAYER - 15.5 - 3.0 * border)
            share = coverage(off - half, slab.pixel) * np.minimum(1.0, 2 * half / slab.pixel) * blade
            slab.blend(share, 0.62 * person.cortical_bone_hu)
            marrow = coverage(off - half + 1.6, slab.pixel) * blade * (border > 0.35)
            slab.blend(marrow, person.spongy_bone_hu + 60.0)
        slab.paint_segments(self._long_bones, person.cortical_bone_hu)
        slab.paint_segments(self._long_bone_marrow, person.spongy_bone_hu + 20.0)
