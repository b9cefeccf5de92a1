"""From the headers of one volume to its slices in order and their grid in the patient, or to what is wrong."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..core.errors import UserError
from ..core.volume import Geometry, Modality
from .dicom_headers import Header
from .dicom_pixels import read_stored
from .dicom_split import SAME_PLACE_MM

_SPACING_TOLERANCE = 0.01  # of the usual distance between slices
_ROUNDING_MM = 0.02  # scanners write positions with few decimals
_SIDEWAYS_TOLERANCE = 0.1  # pixels; slices further off the stack's axis make it a tilted one
_STEEPEST_TILT = 45.0  # degrees; no gantry tilts that far
_FEWEST_TILTED = 3  # of two slices every shift would be consistent
_MOST_NEIGHBOURS_MISSING = 2
_MOST_MISSING = 0.05  # of all slices
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))


@dataclasses.dataclass(frozen=True, eq=False)
class Arrangement:
    """Slices in order, and how they make up an upright grid.

    ``places`` (N) are the slices of the grid that they fill; what lies between is missing. ``shifts`` (N, 2) tell by
    how many pixels along i and j each slice lies from the grid's corner, None when all lie upright. ``notes`` say in
    words what is done to them.
    """

    headers: list[Header]
    geometry: Geometry
    places: np.ndarray
    shifts: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def arrange(headers: Sequence[Header], name: str) -> Arrangement:
    """Sort the slices of one volume by their position along the slice normal, and give their grid.

    File names and instance numbers play no part. ``name`` is what messages call the series. A projection makes a grid
    of one slice. Raises UserError for anything else that does not make one evenly spaced stack of grey slices.
    """
    _refuse_other_than_grey(headers, name)
    if headers[0].kind is Modality.XRAY:
        return _projection(headers, name)
    _refuse_other_than_slices(headers, name)
    first = headers[0]
    # All slices agree within rounding; the median keeps one that is slightly off from turning the others.
    i_axis, j_axis = _unit_axes(np.median([header.orientation for header in headers], axis=0), name)
    normal = np.cross(i_axis, j_axis)
    ascending = sorted(headers, key=lambda header: _height(header, normal))
    headers, doubled = _without_doubles(ascending, normal, name)
    positions = np.array([header.position for header in headers], dtype=np.float64)
    heights = positions @ normal
    places, missing = _places(headers, heights, normal, name)
    pixel_mm = np.median([header.spacing for header in headers], axis=0)[::-1]  # along i, then along j
    sideways = (positions - positions[0]) @ np.stack([i_axis, j_axis], axis=1) / pixel_mm
    shifts, tilted = _shifts(sideways, heights, pixel_mm, name)
    corner = positions[0]
    shape = (int(places[-1]) + 1, first.rows, first.columns)
    if shifts is not None:
        lowest, highest = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
        corner = corner + np.stack([i_axis, j_axis], axis=1) @ (lowest * pixel_mm)
        wider, higher = (highest - lowest).astype(int)
        shape = (shape[0], shape[1] + higher, shape[2] + wider)
        shifts = shifts - lowest
    geometry = Geometry.from_lps(
        shape,
        spacing=(pixel_mm[0], pixel_mm[1], float(heights[-1] - heights[0]) / (shape[0] - 1)),
        origin=tuple(corner),
        direction=np.stack([i_axis, j_axis, normal], axis=1),
    )
    return Arrangement(headers, geometry, places, shifts, (*doubled, *missing, *tilted))


def _refuse_other_than_grey(headers: Sequence[Header], name: str) -> None:
    for header in headers:
        if header.is_colour:
            raise UserError(f"{name} holds a colour image ({header.path.name}); give a grey one.")
        if header.frames > 1:
            raise UserError(
                f"{name} is a film of {header.frames} frames that do not say where they lie ({header.path.name}); give "
                "an image of one frame or a stack of slices."
            )


def _projection(headers: Sequence[Header], name: str) -> Arrangement:
    first = headers[0]
    if len(headers) > 1:
        raise UserError(f"{name} is {len(headers)} projections under one number; keep one of them.")
    notes = []
    spacing = first.spacing or first.detector_spacing
    if spacing is None:
        spacing = (1.0, 1.0)
        notes.append("the pixel spacing is unknown and taken as 1 mm")
    elif first.spacing is None:
        notes.append("the pixel spacing is that on the detector, so that the patient looks magnified")
    _refuse_useless(spacing, name)
    geometry = Geometry.from_lps(
        (1, first.rows, first.columns), spacing=(spacing[1], spacing[0], 1.0), origin=(0, 0, 0)
    )
    return Arrangement([first], geometry, np.zeros(1, dtype=int), notes=tuple(notes))


def _refuse_other_than_slices(headers: Sequence[Header], name: str) -> None:
    first = headers[0]
    if len(headers) == 1:
        raise UserError(
            f"{name} is a single slice ({first.path.name}), but a volume needs at least two; give the whole series."
        )
    for header in headers:
        if header.position is None or header.orientation is None or header.spacing is None:
            raise UserError(
                f"{name} does not say where its slices lie in the patient ({header.path.name} lacks position, "
                "direction or pixel spacing); export the original series."
            )
        _refuse_useless(header.spacing, name)


def _refuse_useless(spacing: Sequence[float], name: str) -> None:
    if min(spacing) <= 0:
        raise UserError(f"{name} has a pixel spacing of {min(spacing):g} mm; export it anew.")


def _unit_axes(orientation: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    axes = orientation.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.any(np.abs(lengths - 1) > 1e-2) or abs(axes[0] @ axes[1]) > 1e-3:
        raise UserError(f"{name} has unusable directions: rows and columns are not at right angles; export it anew.")
    i_axis, j_axis = axes / lengths[:, None]
    return i_axis, j_axis


def _height(header: Header, normal: np.ndarray) -> float:
    return float(np.array(header.position, dtype=np.float64) @ normal)


def _without_doubles(headers: list[Header], normal: np.ndarray, name: str) -> tuple[list[Header], list[str]]:
    """Drop slices that lie where another with the very same pixels lies; ``headers`` are sorted by height."""
    kept, doubles, differing = headers[:1], [], []
    for header in headers[1:]:
        if _height(header, normal) - _height(kept[-1], normal) >= SAME_PLACE_MM:
            kept.append(header)
        elif _are_same(kept[-1], header):
            doubles.append(header)
        else:
            differing.append((kept[-1], header))
    if differing:
        one, other = differing[0]
        raise UserError(
            f"{name} holds {_count(len(differing), 'slice position')} twice with different pixels (first at "
            f"{_place(one, normal)}: {one.path.name} and {other.path.name}); keep one of each."
        )
    if not doubles:
        return headers, []
    verb = "was" if len(doubles) == 1 else "were"
    return kept, [f"{_count(len(doubles), 'slice')} that the series holds twice {verb} dropped"]


def _are_same(one: Header, other: Header) -> bool:
    if one.position != other.position or (one.slope, one.intercept) != (other.slope, other.intercept):
        return False
    pixels = read_stored([one, other])
    return np.array_equal(pixels[0], pixels[1])


def _places(
    headers: Sequence[Header], heights: np.ndarray, normal: np.ndarray, name: str
) -> tuple[np.ndarray, list[str]]:
    """Which slice of an even grid each of the slices is, in order, and a note of those that are missing."""
    if len(headers) == 1:
        raise UserError(f"{name} has all its slices at one place, but a volume needs at least two; export it anew.")
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    steps = np.maximum(np.rint(gaps / usual), 1)
    tolerance = max(_SPACING_TOLERANCE * usual, _ROUNDING_MM)
    uneven = np.flatnonzero(np.abs(gaps - steps * usual) > tolerance * steps)
    if len(uneven):
        n = int(uneven[0])
        raise UserError(
            f"{name} has unevenly spaced slices: usually {usual:g} mm apart, but {gaps[n]:g} mm "
            f"{_between(headers, n, normal)}; export the complete series or resample it to an even spacing."
        )
    places = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    even = heights[0] + places * (heights[-1] - heights[0]) / places[-1]
    if np.abs(heights - even).max() > max(0.1 * usual, _ROUNDING_MM):
        raise UserError(
            f"{name} has slices whose distance drifts from {gaps.min():.3f} to {gaps.max():.3f} mm; resample it to "
            "an even spacing."
        )
    return places, _missing(headers, steps, usual, normal, name)


def _missing(headers: Sequence[Header], steps: np.ndarray, usual: float, normal: np.ndarray, name: str) -> list[str]:
    """Notes of the slices that are missing. Raises UserError when they are too many to be guessed."""
    lacking = (steps - 1).astype(int)
    total = int(lacking.sum())
    if lacking.max() > _MOST_NEIGHBOURS_MISSING or total > _MOST_MISSING * (len(headers) + total):
        n = int(lacking.argmax())
        also = f" and {total - lacking[n]} elsewhere" if total > lacking[n] else ""
        raise UserError(
            f"{name} lacks {_count(int(lacking[n]), 'slice')} {_between(headers, n, normal)}{also} (slices are "
            f"{usual:g} mm apart); export the complete series."
        )
    return [
        f"{_count(int(lacking[n]), 'missing slice')} {_between(headers, int(n), normal)} "
        f"{'was' if lacking[n] == 1 else 'were'} interpolated"
        for n in np.flatnonzero(lacking)
    ]


def _shifts(
    sideways: np.ndarray, heights: np.ndarray, pixel_mm: np.ndarray, name: str
) -> tuple[np.ndarray | None, list[str]]:
    """The shifts (N, 2) of a tilted stack in pixels, None for an upright one. Raises UserError when the slices are not
    shifted in proportion to their height."""
    if np.abs(sideways).max() <= _SIDEWAYS_TOLERANCE:
        return None, []
    along = np.stack([heights - heights[0], np.ones(len(heights))], axis=1)
    shear, *_ = np.linalg.lstsq(along, sideways, rcond=None)
    angle = float(np.degrees(np.arctan(np.linalg.norm(shear[0] * pixel_mm))))
    is_even = np.abs(sideways - along @ shear).max() <= _SIDEWAYS_TOLERANCE
    if not is_even or angle > _STEEPEST_TILT or len(heights) < _FEWEST_TILTED:
        raise UserError(
            f"{name} has slices that are shifted sideways against each other, but not as a tilted gantry does it; "
            "resample it to an upright stack."
        )
    return sideways, [f"the gantry was tilted by {angle:.1f} degrees, so slices were shifted into an upright stack"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _between(headers: Sequence[Header], n: int, normal: np.ndarray) -> str:
    return f"between {_place(headers[n], normal)} and {_place(headers[n + 1], normal)}"


def _place(header: Header, normal: np.ndarray) -> str:
    """Position of a slice in words, along the body axis that the normal is closest to: "S 12.5 mm"."""
    axis = int(np.abs(normal).argmax())
    value = (header.position or (0.0, 0.0, 0.0))[axis]
    return f"{_LETTERS[axis][value < 0]} {abs(value):.10g} mm"
