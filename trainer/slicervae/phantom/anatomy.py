"""All parts of one patient's anatomy, put together and painted in the order in which they hide each other."""

import numpy as np

from .abdomen import Abdomen
from .lesions import Effusion, Nodule, draw_lesion
from .lungs import Lungs
from .mediastinum import Mediastinum
from .person import Person
from .scanner import Position
from .shapes import Segment, Slab, coverage
from .skeleton import Skeleton
from .spine import Spine
from .target import draw_target
from .torso import Place, Torso
from .wall import ChestWall

LESION = "lesion"


class Anatomy:
    """Everything that is drawn of one patient, lying in the scanner."""

    def __init__(self, person: Person, lesion_kind: str, seed: int, number: int) -> None:
        self.person = person
        self.torso = Torso(person, seed, number)
        self.spine = Spine(self.torso)
        self.skeleton = Skeleton(self.torso, self.spine)
        self.mediastinum = Mediastinum(self.torso, self.spine, seed, number)
        self.abdomen = Abdomen(self.torso, seed, number)
        self.lungs = Lungs(self.torso, self.mediastinum, seed, number)
        self.lesion = draw_lesion(lesion_kind, self.lungs, self.torso, seed, number)
        self.target = draw_target(self.lesion, self.lungs, self.mediastinum, self.torso, seed, number)
        self.wall = ChestWall(self.torso, seed, number)
        self.position = Position.draw(self.wall.back_y, person.chest_depth_mm, seed, number)

    @property
    def couch_top(self) -> float:
        """y of the couch's top in the image."""
        return self.wall.back_y + self.position.shift[1]

    def paint(
        self, slab: Slab, texture: np.ndarray, thick_vessels: list[Segment], thin_vessels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Paint a slab; returns how much of each voxel (S, J, I) every structure, and the lesion if any, covers.

        ``texture`` (S, J, I) varies the tissues; ``thin_vessels`` (J, I) is what vessels too thin to be drawn one by
        one, those not in ``thick_vessels``, take of each voxel.
        """
        person = self.person
        place = self.torso.locate(slab.x, slab.y, slab.z)
        self.wall.paint_couch(slab)
        body = self.wall.paint(slab, place, texture)
        self.skeleton.paint_shoulders(slab, place)
        slab.paint(place.u, self._between_organs(place, texture))
        distances = self.lungs.distances(slab, place)
        self.abdomen.paint(slab, place, texture)
        self.skeleton.paint_ribs(slab, place)
        self.skeleton.paint_sternum(slab, place)
        right, left = (coverage(d, slab.pixel) for d in (distances.right, distances.left))
        both = right + left
        slab.blend(both, self.lungs.parenchyma(slab, texture))
        self.lungs.paint_fissures(slab, both)
        slab.blend(thin_vessels * both, person.blood_hu)
        self.lungs.paint_tubes(slab, thick_vessels, distances)
        heart = self.mediastinum.heart.paint(slab, texture)
        self.mediastinum.paint_vessels(slab)
        cord = self.spine.paint(slab, texture)
        self.mediastinum.paint_airways(slab)
        shares = {"BODY": body, "Lung_L": left, "Lung_R": right, "Heart": heart, "SpinalCord": cord}
        if isinstance(self.lesion, Nodule):
            shares[LESION] = self._paint_nodule(self.lesion, slab, texture)
        elif isinstance(self.lesion, Effusion):
            self._paint_effusion(self.lesion, slab, texture, distances.of(self.lesion.side), shares)
        shares["PTV"] = self._target_share(slab) * body
        return shares

    def _paint_nodule(self, nodule: Nodule, slab: Slab, texture: np.ndarray) -> np.ndarray:
        share = np.zeros_like(slab.hu)
        (x, y, z), r = nodule.centre, nodule.reach
        low, high = (x - r, y - r, z - r), (x + r, y + r, z + r)
        if slab.meets(low[2], high[2]):
            part, cut = slab.window(low, high)
            share[cut] = nodule.share(part)
            part.blend(share[cut], nodule.hu + 5.0 * texture[cut])
        return share

    def _target_share(self, slab: Slab) -> np.ndarray:
        share = np.zeros_like(slab.hu)
        low, high = self.target.box
        if slab.meets(low[2], high[2]):
            part, cut = slab.window(low, high)
            share[cut] = coverage(self.target.distance(part), slab.pixel)
        return share

    def _between_organs(self, place: Place, texture: np.ndarray) -> np.ndarray:
        """HU inside the cage where nothing else lies: fat, and above the lungs the muscles of the neck in it."""
        fat = self.person.fat_hu + 6.0 * texture
        if place.t.min() > 0.08:
            return fat
        muscle = np.clip(0.6 + 1.1 * texture, 0.0, 1.0) * np.clip(1.0 - (place.t + 0.02) * 12.0, 0.0, 1.0)
        return fat + muscle * (self.person.muscle_hu - fat)

    def _paint_effusion(
        self, effusion: Effusion, slab: Slab, texture: np.ndarray, lung: np.ndarray, shares: dict[str, np.ndarray]
    ) -> None:
        name = f"Lung_{effusion.side}"
        fluid = effusion.distance(slab, lung)
        # Beside the fluid the lung is partly collapsed.
        slab.blend(np.clip(1.0 - fluid / 9.0, 0, 1) * shares[name] * 0.45, self.person.muscle_hu - 12.0)
        shares[LESION] = slab.paint(fluid, effusion.hu + 2.0 * texture)
        shares[name] = np.maximum(shares[name] - shares[LESION], 0.0)
