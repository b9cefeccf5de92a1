"""One phantom patient: scanned slice by slice, and described by its true parameters."""

import dataclasses

import numpy as np

from SlicerVAELib.core.declaration import PHANTOM
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Meter, ignore
from SlicerVAELib.core.volume import Modality, Source, Volume

from . import constants as c
from .anatomy import LESION, Anatomy
from .lesions import LesionPolicy, Nodule
from .person import draw_person
from .scanner import Detector, Grid, Texture, empty_slab
from .splats import Splats
from .target import Target
from .uids import identifier_of, uid
from .wall import COUCH_THICKNESS

STRUCTURES = ("BODY", "Lung_L", "Lung_R", "Heart", "SpinalCord", "PTV")  # names of AAPM TG-263
FULL = 255  # coverage of a voxel that a structure fills
HALF = FULL / 2


@dataclasses.dataclass(frozen=True, eq=False)
class PhantomPatient:
    """A patient as it leaves the scanner.

    ``volume`` holds int16 HU (K, J, I), slices from inferior to superior, with the masks of ``STRUCTURES``: voxels of
    which a structure covers at least half. ``coverage`` is that share as uint8, 0 to FULL. ``parameters`` are the true
    sizes and attenuations, with units in their names; ``lesion`` is the mask of the lesion, never empty, or None.
    Made by ``make_patient``.
    """

    identifier: str
    number: int
    seed: int
    volume: Volume
    coverage: dict[str, np.ndarray]
    parameters: dict[str, float | str]
    lesion: np.ndarray | None
    lesion_kind: str
    target: Target

    def uid(self, kind: str, *more: object) -> str:
        """The unique identifier of something that belongs to this patient, this scan and this kind of lesion."""
        slices, _, size = self.volume.array.shape
        return uid(kind, self.seed, self.number, size, slices, self.lesion_kind, *more)


def make_patient(
    seed: int,
    number: int,
    *,
    size: int = 128,
    slices: int = 40,
    lesions: LesionPolicy | None = None,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> PhantomPatient:
    """Patient ``number`` (from 1) of the cohort with this seed, the same whatever else is made.

    ``size`` pixels a side and ``slices`` slices always cover the same field of view, so more of them are finer.
    ``lesions`` None means LesionPolicy(). Raises UserError for sizes that can't hold a patient, and Cancelled.
    """
    check_sizes(size, slices)
    kind = (LesionPolicy() if lesions is None else lesions).kind(number)
    anatomy = Anatomy(draw_person(seed, number), kind, seed, number)
    scan = _Scan(anatomy, Grid.covering_thorax(size, slices), seed, number)
    meter = Meter(progress, identifier_of(number), slices)
    for k in range(slices):
        if cancel is not None:
            cancel.check()
        scan.take(k)
        meter.advance(1)
    return scan.patient(kind)


def check_sizes(size: int, slices: int) -> None:
    """Raise UserError unless a patient of that many pixels and slices makes sense."""
    if not 32 <= size <= 1024 or not 10 <= slices <= 1000:
        raise UserError(
            f"A phantom of {size} pixels and {slices} slices can't be made; give 32 to 1024 pixels, 10 to 1000 slices."
        )


class _Scan:
    """A scan being taken."""

    def __init__(self, anatomy: Anatomy, grid: Grid, seed: int, number: int) -> None:
        self._anatomy, self._grid, self._seed, self._number = anatomy, grid, seed, number
        self._texture = Texture(grid, seed, number)
        self._detector = Detector(grid, anatomy.person, seed, number)
        shape = (grid.slices, grid.size, grid.size)
        self._hu = np.empty(shape, dtype=np.int16)
        names = [*STRUCTURES, LESION] if anatomy.lesion else [*STRUCTURES]
        self._shares = {name: np.zeros(shape, dtype=np.uint8) for name in names}
        self._voxels = dict.fromkeys(names, 0.0)
        self._lung_hu = np.zeros(2)  # sum over voxels wholly in a lung, and their number
        self._frame = (self._rows(), slice(0, grid.size))
        vessels, thinnest = anatomy.lungs.vessels, 0.75 * grid.pixel
        self._thick_vessels = [vessel for vessel in vessels if vessel.start_radius >= thinnest]
        thin = [vessel for vessel in vessels if vessel.start_radius < thinnest]
        self._thin_vessels = Splats(thin, anatomy.position, grid)

    def _rows(self) -> slice:
        """Rows that can hold more than air."""
        anatomy = self._anatomy
        front = anatomy.couch_top - anatomy.person.chest_depth_mm - anatomy.person.breast_thickness_mm - 70.0
        first, last = np.searchsorted(self._grid.axis, (front, anatomy.couch_top + COUCH_THICKNESS + 6.0))
        return slice(int(first), int(last))

    def take(self, k: int) -> None:
        """Paint and scan slice k."""
        grid, frame = self._grid, self._frame
        slab = empty_slab(grid, self._anatomy.position, k, *frame)
        texture = self._texture.at(slab.z, *frame)
        shares = self._anatomy.paint(slab, texture, self._thick_vessels, self._thin_vessels.share(k)[frame])
        clean = np.full((grid.size, grid.size), c.AIR_HU, dtype=np.float32)
        clean[frame] = slab.hu.mean(axis=0)
        self._hu[k] = self._detector.detect(clean)
        for name, share in shares.items():
            mean = share.mean(axis=0)
            self._shares[name][(k, *frame)] = np.rint(mean * FULL)
            self._voxels[name] += float(mean.sum(dtype=np.float64))
        lungs = (shares["Lung_R"] + shares["Lung_L"]).mean(axis=0) > 0.99
        self._lung_hu += np.array([clean[frame][lungs].sum(dtype=np.float64), lungs.sum()])

    def patient(self, kind: str) -> PhantomPatient:
        """The finished patient."""
        identifier = identifier_of(self._number)
        key = (self._seed, self._number, self._grid.size, self._grid.slices, kind)
        source = Source(
            name=identifier,
            patient=identifier,
            study_uid=uid("study", *key),
            series_uid=uid("series", *key),
            frame_of_reference_uid=uid("frame of reference", *key),
            description=PHANTOM,
            body_part="CHEST",
        )
        masks = {name: self._shares[name] > HALF for name in STRUCTURES}
        lesion = self._lesion_mask() if LESION in self._shares else None
        return PhantomPatient(
            identifier=identifier,
            number=self._number,
            seed=self._seed,
            volume=Volume(self._hu, self._grid.geometry, Modality.CT, masks=masks, source=source),
            coverage={name: self._shares[name] for name in STRUCTURES},
            parameters=_rounded({"patient": identifier, **self._parameters(kind)}),
            lesion=lesion,
            lesion_kind=kind,
            target=self._anatomy.target,
        )

    def _lesion_mask(self) -> np.ndarray:
        """Voxels of which the lesion covers half, or half as much as of any: a small one may fill none."""
        share = self._shares[LESION]
        return share > min(HALF, share.max() / 2)

    def _parameters(self, kind: str) -> dict[str, float | str]:
        anatomy, cm3 = self._anatomy, self._grid.geometry.voxel_volume_cm3
        volumes = {name: voxels * cm3 for name, voxels in self._voxels.items()}
        lungs = volumes["Lung_L"] + volumes["Lung_R"]
        return {
            **dataclasses.asdict(anatomy.person),
            "lung_height_mm": anatomy.torso.lung_height,
            "right_dome_z_mm": anatomy.torso.right_dome_z,
            "left_dome_z_mm": anatomy.torso.left_dome_z,
            "carina_z_mm": anatomy.mediastinum.carina_z,
            "table_top_y_mm": anatomy.couch_top,
            "shift_x_mm": anatomy.position.shift[0],
            "roll_degrees": float(np.degrees(anatomy.position.roll)),
            "body_in_scan_cm3": volumes["BODY"],
            "lung_left_cm3": volumes["Lung_L"],
            "lung_right_cm3": volumes["Lung_R"],
            "lungs_cm3": lungs,
            "lungs_mean_hu": float(self._lung_hu[0] / self._lung_hu[1]),
            "heart_cm3": volumes["Heart"],
            "ptv_cm3": volumes["PTV"],
            "ptv_site": anatomy.target.site,
            "prescription_gy": anatomy.target.prescription_gy,
            "fractions": anatomy.target.fractions,
            "lesion_kind": kind,
            **self._lesion_parameters(volumes),
        }

    def _lesion_parameters(self, volumes: dict[str, float]) -> dict[str, float | str]:
        lesion = self._anatomy.lesion
        if lesion is None:
            names = ("lesion_side", "lesion_cm3", "lesion_hu", "lesion_x_mm", "lesion_y_mm", "lesion_z_mm")
            return dict.fromkeys(names, "")
        k, j, i = np.nonzero(self._shares[LESION])
        weights = self._shares[LESION][k, j, i].astype(np.float64)
        axis = self._grid.axis.astype(np.float64)
        heights = self._grid.first_z + k * self._grid.spacing
        x, y, z = (float(np.average(v, weights=weights)) for v in (axis[i], axis[j], heights))
        return {
            "lesion_side": lesion.side,
            "lesion_cm3": lesion.volume_cm3 if isinstance(lesion, Nodule) else volumes[LESION],
            "lesion_hu": lesion.hu,
            "lesion_x_mm": x,
            "lesion_y_mm": y,
            "lesion_z_mm": z,
        }


def _rounded(parameters: dict[str, float | str]) -> dict[str, float | str]:
    return {name: value if isinstance(value, str) else round(value, 3) for name, value in parameters.items()}
