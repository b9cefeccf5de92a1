"""A plausible photon plan on a phantom: a few open fields around the target, and the dose they would give.

The dose is a schematic of a 6 MV plan, not a calculation: each field falls off exponentially along its axis, has a
penumbra and a little scatter beside it, and builds up under the skin; tissue density is not taken into account. The sum
is scaled so that 95 % of the target gets the prescription.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from .patient import FULL, PhantomPatient
from .person import Stream, random_stream

_MARGIN = 7.0  # from the target to the edge of a field, for the penumbra
_PENUMBRA = 3.0  # mm; 80 to 20 % within 8 mm
_ATTENUATION_PER_MM = 0.0049  # of a 6 MV beam in water
_SCATTER, _SCATTER_REACH = 0.035, 25.0  # share of the dose beside a field, and how far it reaches
_BUILD_UP = 5.0  # mm
_SPACING = 4.0  # of the dose grid in the slice plane
_SOURCE_DISTANCE = 1000.0
# Gantry angles for a target on the patient's left; the right is the mirror image.
_ONE_SIDE = ((0, 60, 120), (350, 40, 100, 160), (340, 20, 70, 120, 170))
_CENTRAL = ((0, 120, 240), (0, 90, 180, 270), (0, 72, 144, 216, 288))


@dataclasses.dataclass(frozen=True)
class Beam:
    """An open field: gantry angle in degrees (IEC 61217), jaws in mm at the isocentre, monitor units and dose share."""

    number: int
    gantry: float
    x_jaws: tuple[float, float]
    y_jaws: tuple[float, float]
    monitor_units: float
    dose_gy: float

    @property
    def across(self) -> tuple[float, float]:
        """Unit vector in the axial plane across the field, as x and y in LPS."""
        angle = np.radians(self.gantry)
        return float(np.cos(angle)), float(np.sin(angle))

    @property
    def to_source(self) -> tuple[float, float]:
        """Unit vector from the isocentre to the source; the gantry at 90° stands at the patient's left."""
        angle = np.radians(self.gantry)
        return float(np.sin(angle)), float(-np.cos(angle))


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Beams and their dose: gray, float64 (K, J, I), on a grid of ``spacing`` mm (x, y) over the CT's slices."""

    beams: tuple[Beam, ...]
    isocentre: tuple[float, float, float]
    prescription_gy: float
    fractions: int
    dose: np.ndarray
    origin: tuple[float, float, float]
    spacing: tuple[float, float]


def make_plan(patient: PhantomPatient) -> Plan:
    """The plan of a patient. Raises nothing: every phantom has a target."""
    spacing, origin, _ = patient.volume.geometry.lps
    k, j, i = np.nonzero(patient.volume.masks["PTV"])
    target = origin + np.stack([i, j, k], axis=1) * spacing
    isocentre = (target.min(axis=0) + target.max(axis=0)) / 2
    iso = tuple(round(float(v), 2) for v in isocentre)
    beams = _beams(patient, target - np.array(iso))
    first, steps, body = _dose_grid(patient)
    relative = _relative_dose(beams, iso, steps, body, patient)
    at_target = _at_voxels(relative, first, (k, j, i), patient)
    scale = patient.target.prescription_gy / float(np.percentile(at_target, 5))
    return Plan(
        beams=tuple(beams),
        isocentre=(iso[0], iso[1], iso[2]),
        prescription_gy=patient.target.prescription_gy,
        fractions=patient.target.fractions,
        dose=relative * scale,
        origin=(first[0], first[1], float(origin[2])),
        spacing=(_SPACING, _SPACING),
    )


def _beams(patient: PhantomPatient, target: np.ndarray) -> list[Beam]:
    random = random_stream(patient.seed, patient.number, Stream.PLAN)
    choice = int(random.integers(3))
    site = patient.target.site
    angles = list((_CENTRAL if site == "mediastinum" else _ONE_SIDE)[choice])
    if site.endswith("R"):
        angles = [(360 - angle) % 360 for angle in angles]
    share = patient.target.prescription_gy / patient.target.fractions / len(angles)
    beams = []
    for number, angle in enumerate(angles, start=1):
        bare = Beam(number, float(angle), (0.0, 0.0), (0.0, 0.0), round(105.0 * share, 1), round(share, 4))
        sideways = target[:, 0] * bare.across[0] + target[:, 1] * bare.across[1]
        x_jaws = (round(float(sideways.min()) - _MARGIN, 1), round(float(sideways.max()) + _MARGIN, 1))
        y_jaws = (round(float(target[:, 2].min()) - _MARGIN, 1), round(float(target[:, 2].max()) + _MARGIN, 1))
        beams.append(dataclasses.replace(bare, x_jaws=x_jaws, y_jaws=y_jaws))
    return beams


def _dose_grid(patient: PhantomPatient) -> tuple[tuple[float, float], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """(x and y of the first voxel, x and y of all, the body's share of the voxels) of a grid around the body."""
    spacing, origin, _ = patient.volume.geometry.lps
    share = patient.coverage["BODY"]
    columns, rows = (np.nonzero(share.any(axis=axes))[0] for axes in ((0, 1), (0, 2)))
    steps = []
    for axis, used in ((0, columns), (1, rows)):
        low, high = (origin[axis] + used[end] * spacing[axis] for end in (0, -1))
        count = int(np.floor((high - low) / _SPACING)) + 1
        steps.append(round(float(low), 2) + np.arange(count) * _SPACING)
    across, along = (
        _linear((step - origin[axis]) / spacing[axis], share.shape[2 - axis]) for axis, step in enumerate(steps)
    )
    body = along @ share.astype(np.float32) @ across.T / FULL
    return (float(steps[0][0]), float(steps[1][0])), (steps[0], steps[1]), body


def _linear(places: np.ndarray, count: int) -> np.ndarray:
    """Matrix (len(places), count) of linear interpolation between voxels."""
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(count)[None, :])).astype(np.float32)


def _relative_dose(
    beams: list[Beam],
    isocentre: tuple[float, ...],
    steps: tuple[np.ndarray, np.ndarray],
    body: np.ndarray,
    patient: PhantomPatient,
) -> np.ndarray:
    spacing, origin, _ = patient.volume.geometry.lps
    x = (steps[0] - isocentre[0])[None, None, :]
    y = (steps[1] - isocentre[1])[None, :, None]
    z = (origin[2] + np.arange(len(body)) * spacing[2] - isocentre[2])[:, None, None]
    dose = np.zeros(body.shape)
    for beam in beams:
        sideways = beam.across[0] * x + beam.across[1] * y
        towards = beam.to_source[0] * x + beam.to_source[1] * y
        widening = _SOURCE_DISTANCE / (_SOURCE_DISTANCE - towards)
        outside_x = _outside(sideways / widening, beam.x_jaws)
        outside_y = _outside(z / widening, beam.y_jaws)
        field = _edge(outside_x) * _edge(outside_y)
        beside = np.hypot(np.maximum(outside_x, 0), np.maximum(outside_y, 0))
        along = np.exp(_ATTENUATION_PER_MM * towards) / widening**2
        dose += along * (field + _SCATTER * np.exp(-beside / _SCATTER_REACH))
    inside = np.pad(body > 0.5, ((0, 0), (1, 1), (1, 1)))
    depth = np.stack([ndimage.distance_transform_edt(layer, sampling=_SPACING)[1:-1, 1:-1] for layer in inside])
    return dose * body * (1.0 - 0.55 * np.exp(-depth / _BUILD_UP))


def _outside(place: np.ndarray, jaws: tuple[float, float]) -> np.ndarray:
    """Distance beyond the nearer jaw, negative within the field."""
    return np.maximum(jaws[0] - place, place - jaws[1])


def _edge(outside: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(np.clip(outside / _PENUMBRA, -40, 40)))


def _at_voxels(
    dose: np.ndarray, first: tuple[float, float], voxels: tuple[np.ndarray, ...], patient: PhantomPatient
) -> np.ndarray:
    """The dose at voxels (k, j, i) of the CT, between those of the dose grid linearly."""
    spacing, origin, _ = patient.volume.geometry.lps
    k, j, i = voxels
    places = [k, (origin[1] + j * spacing[1] - first[1]) / _SPACING, (origin[0] + i * spacing[0] - first[0]) / _SPACING]
    return ndimage.map_coordinates(dose, places, order=1, mode="nearest")
