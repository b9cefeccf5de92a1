"""The spine: vertebrae with their arches and discs, the canal, and the cord."""

import numpy as np

from . import constants as c
from .shapes import Curve, Slab, coverage, ellipse, smooth_max, smooth_min
from .torso import Torso

_ENDPLATE = 1.2
_ARCH_HU_OVER_SPONGY = 90.0  # the arch is denser than the body


class Spine:
    """The spine of one person."""

    def __init__(self, torso: Torso) -> None:
        self._torso, self._person = torso, torso.person
        scale = torso.person.spine_scale
        self.tops = torso.vertebra_tops()
        self._bottoms = self.tops[:-1] - np.array(c.VERTEBRA_HEIGHTS) * scale
        middles = (self.tops[:-1] + self._bottoms) / 2

        def along(values: tuple[float, ...]) -> Curve:
            return Curve([(float(z), v * scale) for z, v in zip(middles, values, strict=True)])

        self._width, self._depth = along(c.VERTEBRA_WIDTHS), along(c.VERTEBRA_DEPTHS)
        self._canal_width, self._canal_depth = along(c.CANAL_WIDTHS), along(c.CANAL_DEPTHS)

    def width_at(self, z: float) -> float:
        """Width of the vertebral body at a height."""
        return self._width.at(z)

    def depth_at(self, z: float) -> float:
        """Depth of the vertebral body at a height."""
        return self._depth.at(z)

    def column(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance to the spine with the tissue beside it, which the lungs leave free."""
        spine, width, depth = self._torso.spine_y(z), self._width(z), self._depth(z)
        body = ellipse(x, y - spine + 1.0, width / 2 + 5.0, depth / 2 + 5.0)
        arch = ellipse(x, y - spine - depth / 2 - 18.0, width / 2 + 12.0, 24.0)
        return smooth_min(body, arch, 10.0)

    def _phase(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(share of the way down the vertebral body, above 1 in the disc; mm to the next endplate, below 0 there)."""
        z = np.clip(z, self.tops[-1] + 0.1, self.tops[0] - 0.1)
        index = np.clip(np.searchsorted(-self.tops, -z, side="right") - 1, 0, len(self._bottoms) - 1)
        top, bottom = self.tops[index], self._bottoms[index]
        phase, to_plate = (top - z) / (top - bottom), np.minimum(top - z, z - bottom)
        return phase.astype(np.float32), to_plate.astype(np.float32)

    def paint(self, slab: Slab, texture: np.ndarray) -> np.ndarray:
        """Paint the vertebral column; returns the cord's coverage (S, J, I)."""
        person, z = self._person, slab.z
        middle_y = self._torso.spine_y_at(float(z.mean()))
        part, cut = slab.window((-50.0, middle_y - 32.0, 0.0), (50.0, middle_y + 85.0, 0.0))
        x, y, pixel = part.x, part.y - self._torso.spine_y(z), slab.pixel
        width, depth = self._width(z), self._depth(z)
        canal_a, canal_b = self._canal_width(z) / 2, self._canal_depth(z) / 2
        behind = y - (depth / 2 + canal_b + 0.5)  # of the middle of the canal
        canal = ellipse(x, behind, canal_a, canal_b)
        phase, to_plate = self._phase(z)

        self._paint_arch(part, x, behind, canal, canal_a, canal_b, phase)
        waist = 1.0 - 0.09 * np.clip(1.0 - (2 * np.clip(phase, 0, 1) - 1) ** 2, 0, 1)
        body = smooth_max(ellipse(x, y, width / 2 * waist, depth / 2 * waist), y - depth / 2 + 2.0, 4.0)
        part.paint(body, c.DISC_HU)
        part.blend(coverage(body, pixel) * np.clip(to_plate / 2.0 + 0.5, 0, 1), 0.62 * person.cortical_bone_hu)
        spongy = coverage(body + _ENDPLATE, pixel) * np.clip((to_plate - _ENDPLATE) / 2.0 + 0.5, 0, 1)
        part.blend(spongy, person.spongy_bone_hu + 18.0 * texture[cut])

        # Within the canal: its lining, fat behind, fluid, and the cord
        part.paint(canal, 2.0)
        part.paint(ellipse(x, behind - 0.6 * canal_b, 0.6 * canal_a, 0.4 * canal_b), 0.6 * person.fat_hu)
        part.paint(ellipse(x, behind, 0.78 * canal_a, 0.78 * canal_b), 8.0)
        cord = np.zeros_like(slab.hu)
        cord[cut] = part.paint(self._cord(x, behind, z), c.CORD_HU)
        return cord

    def _cord(self, x: np.ndarray, behind: np.ndarray, z: np.ndarray) -> np.ndarray:
        radius, flat = self._person.cord_radius_mm, float(np.sqrt(c.CORD_FLATNESS))
        swelling = 1.0 + 0.10 * np.clip((z + 45.0) / 60.0, 0, 1) + 0.06 * np.clip((-z - 190.0) / 50.0, 0, 1)
        return ellipse(x, behind, radius * flat * swelling, radius / flat * swelling)

    def _paint_arch(
        self,
        part: Slab,
        x: np.ndarray,
        behind: np.ndarray,
        canal: np.ndarray,
        canal_a: np.ndarray,
        canal_b: np.ndarray,
        phase: np.ndarray,
    ) -> None:
        """Paint pedicles, laminae, facets and processes around the canal."""
        side = np.abs(x)
        # Pedicles in the upper half; lower down, the foramen holds fat and the nerve root.
        pedicle = np.clip((0.62 - np.abs(phase - 0.28) / 0.5) * 4, 0, 1)
        lamina = np.clip((1.02 - np.abs(phase - 0.62) / 0.5) * 3, 0, 1)
        ring = np.maximum(ellipse(x, behind, canal_a + 6.0, canal_b + 6.5), -canal)
        in_ring = np.where(behind < 0.15 * canal_b, pedicle, np.maximum(lamina, 0.35))
        facets = np.maximum(ellipse(side - canal_a - 3.0, behind - canal_b * 0.75, 6.5, 5.0), -canal)
        transverse = (
            np.sqrt(
                np.maximum(np.abs(side - canal_a - 11.0) - 9.0, 0) ** 2
                + (behind - 1.0 - 0.35 * (side - canal_a)) ** 2
                + (9.9 * phase - 2.75) ** 2
            )
            - 4.6
        )
        # Spinous processes slope down steeply: further back, a slice cuts the process of a higher vertebra.
        drop = np.mod(phase - 0.045 * (behind - canal_b) + 0.15, 1.22) - 0.61
        club = 1.2 * np.clip((behind - 30.0) / 8.0, 0, 1)
        spinous = smooth_max(
            np.maximum(side - 3.2 - club, np.abs(drop) * 17.0 - 7.0),
            np.maximum(canal_b - behind, behind - canal_b - 33.0),
            3.0,
        )
        person = self._person
        for bone, amount, cortex in (
            (ring, in_ring, 2.0),
            (facets, lamina, 1.6),
            (transverse, 1.0, 1.5),
            (spinous, 1.0, 1.4),
        ):
            part.blend(coverage(bone, part.pixel) * amount, 0.72 * person.cortical_bone_hu)
            marrow = coverage(bone + cortex, part.pixel) * amount
            part.blend(marrow, person.spongy_bone_hu + _ARCH_HU_OVER_SPONGY)
