"""What lies under the diaphragm: liver, spleen, stomach with its air, and the upper poles of the kidneys."""

import numpy as np

from . import constants as c
from .person import Stream, random_stream
from .shapes import Slab, coverage, ellipsoid, polyline, smooth_max
from .torso import Place, Torso

_DIAPHRAGM = 3.5  # thickness of the muscle


class Abdomen:
    """The upper abdomen of one person."""

    def __init__(self, torso: Torso, seed: int, number: int) -> None:
        random = random_stream(seed, number, Stream.ABDOMEN)
        self._torso, self._person = torso, torso.person
        width = torso.half_width
        self._left_lobe = float(random.normal(0.42, 0.10)) * width
        floor = torso.left_dome_z
        spine = torso.spine_y_at(floor - 60.0)
        size = float(random.uniform(0.85, 1.15))
        self._spleen = (0.70 * width, spine - 6.0, floor - 58.0)
        self._spleen_axes = (30.0 * size, 46.0 * size, 54.0 * size)
        full, longer = (float(v) for v in random.uniform((0.6, 0.8), (1.2, 1.3)))
        self._stomach = (
            float(random.normal(0.46, 0.05)) * width,
            torso.dome_y - float(random.normal(6.0, 8.0)),
            floor - 8.0 - 52.0 * longer,
        )
        self._stomach_axes = (36.0 * full, 44.0 * full * longer, 54.0 * longer)
        self._air_level = torso.dome_y - float(random.uniform(0.15, 0.75)) * 42.0 * full * longer
        self._kidneys = [
            (
                side * float(random.normal(0.43, 0.03)) * width,
                spine - 4.0,
                -torso.lung_height - (46.0 if side < 0 else 38.0),
            )
            for side in (-1.0, 1.0)
        ]

        bowel_y, lowest = torso.dome_y - 26.0, -torso.lung_height - 30.0
        self._colon = polyline(
            [
                (0.78 * width, torso.dome_y + 16.0, floor - 78.0),
                (0.66 * width, bowel_y, floor - 96.0),
                (0.36 * width, bowel_y - 18.0, 0.5 * (floor - 96.0 + lowest)),
                (-0.05 * width, bowel_y - 26.0, lowest),
            ],
            [17.0, 21.0, 22.0, 21.0],
        )

    def paint(self, slab: Slab, place: Place, texture: np.ndarray) -> np.ndarray:
        """Paint the organs under the diaphragm; returns the liver's coverage (S, J, I)."""
        person, torso = self._person, self._torso
        liver_share = np.zeros(slab.hu.shape, dtype=np.float32)
        if slab.z.min() > torso.right_dome_z + 14.0:
            return liver_share
        x, y, z = slab.x, slab.y, slab.z
        above = torso.diaphragm(x, y, z)
        under = smooth_max(above, place.u + 0.5, 5.0)
        slab.paint(under, person.muscle_hu)
        inside = under + _DIAPHRAGM
        share = coverage(inside, slab.pixel)
        slab.blend(share, person.fat_hu + 5.0 + 7.0 * texture)
        spine = torso.spine_y(z)
        # The liver ends on a surface that runs from the left in front to the vena cava behind; its left lobe is short.
        before_spine = 0.5 + 0.5 * np.tanh((spine - 58.0 - y) / 34.0)
        lower = np.clip((torso.right_dome_z - 55.0 - z) / 60.0, 0.0, 1.2)
        edge = x + 26.0 - before_spine * (self._left_lobe + 26.0) * (1.0 - 0.9 * lower)
        liver = smooth_max(smooth_max(inside, 0.75 * edge, 12.0), 24.0 - np.hypot(x, y - spine - 6.0), 8.0)
        self._paint_stomach(slab, inside)
        spleen = ellipsoid(x - self._spleen[0], y - self._spleen[1], z - self._spleen[2], self._spleen_axes)
        stomach = self._stomach_distance(x, y, z)
        slab.paint(
            smooth_max(smooth_max(inside + 1.0, spleen, 5.0), 6.0 - stomach, 4.0),
            person.liver_hu - c.SPLEEN_BELOW_LIVER_HU + 3.0 * texture,
        )
        liver_share = slab.paint(liver, person.liver_hu + 3.0 * texture)
        for kx, ky, kz in self._kidneys:
            kidney = smooth_max(ellipsoid(x - kx, y - ky, z - kz, (25.0, 23.0, 52.0)), inside + 6.0, 6.0)
            slab.paint(kidney - 4.0, person.fat_hu)
            slab.paint(kidney, c.KIDNEY_HU)
        self._paint_colon(slab, np.maximum(inside, 5.0 - liver), texture)
        self._paint_crura(slab, inside)
        return liver_share

    def _stomach_distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        # It leans to the left as it rises.
        lean = 0.25 * (z - self._stomach[2])
        return ellipsoid(x - self._stomach[0] - lean, y - self._stomach[1], z - self._stomach[2], self._stomach_axes)

    def _paint_stomach(self, slab: Slab, inside: np.ndarray) -> None:
        person = self._person
        stomach = smooth_max(self._stomach_distance(slab.x, slab.y, slab.z), inside + 2.0, 8.0)
        slab.paint(stomach, person.muscle_hu - 8.0)
        lumen = stomach + 3.5
        slab.paint(lumen, person.stomach_content_hu)
        # Supine, air gathers in front and its level is horizontal in the image, not in the patient.
        slab.paint(np.maximum(lumen, slab.rows[None, :, None] - self._air_level), -985.0)

    def _paint_colon(self, slab: Slab, room: np.ndarray, texture: np.ndarray) -> None:
        person = self._person
        content = np.clip(20.0 - 260.0 * (texture + 0.2), -950.0, 40.0)
        for segment in self._colon:
            low, high = segment.box
            if not slab.meets(low[2], high[2]):
                continue
            part, cut = slab.window(low, high)
            colon = smooth_max(segment.distance(part.x, part.y, part.z), room[cut] + 3.0, 5.0)
            part.paint(colon, person.muscle_hu - 10.0)
            part.paint(colon + 2.5, content[cut])

    def _paint_crura(self, slab: Slab, inside: np.ndarray) -> None:
        torso = self._torso
        lowest = float(slab.z.min())
        if lowest > torso.left_dome_z - 15.0:
            return
        spine = torso.spine_y(slab.z)
        for side in (-1.0, 1.0):
            crus = np.hypot((slab.x - side * 17.0) / 5.0, (slab.y - spine + 16.0) / 16.0) * 5.0 - 5.0
            slab.paint(np.maximum(crus, inside), self._person.muscle_hu)
