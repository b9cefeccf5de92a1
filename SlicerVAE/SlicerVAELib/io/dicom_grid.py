"""From the headers of a series to its slices in order and their grid in the patient, or to what is wrong with them."""

from collections.abc import Sequence

import numpy as np

from ..core.errors import UserError
from ..core.volume import Geometry
from .dicom_headers import Header

_SPACING_TOLERANCE = 0.01  # of the usual distance between slices
_ROUNDING_MM = 0.02  # scanners write positions with few decimals
_SIDEWAYS_TOLERANCE = 0.1  # pixels; slices further off the stack's axis make it a tilted one
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))


def arrange(headers: Sequence[Header], name: str) -> tuple[list[Header], Geometry]:
    """Sort the slices of one series by their position along the slice normal, and give their grid.

    File names and instance numbers play no part. ``name`` is what messages call the series. Raises UserError for
    anything that does not make one evenly spaced, upright stack of grey slices.
    """
    _refuse_other_than_slices(headers, name)
    first = headers[0]
    assert first.orientation is not None and first.spacing is not None  # refused above
    i_axis, j_axis = _unit_axes(first.orientation, name)
    normal = np.cross(i_axis, j_axis)
    positions = np.array([header.position for header in headers], dtype=np.float64)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    headers, positions, heights = [headers[n] for n in order], positions[order], heights[order]
    _refuse_uneven(headers, heights, normal, name)
    _refuse_tilted(positions, normal, min(first.spacing), name)
    between_rows, between_columns = first.spacing
    between_slices = float(heights[-1] - heights[0]) / (len(headers) - 1)
    geometry = Geometry.from_lps(
        (len(headers), first.rows, first.columns),
        spacing=(between_columns, between_rows, between_slices),
        origin=tuple(positions[0]),
        direction=np.stack([i_axis, j_axis, normal], axis=1),
    )
    return headers, geometry


def _refuse_other_than_slices(headers: Sequence[Header], name: str) -> None:
    first = headers[0]
    for header in headers:
        if header.is_colour:
            raise UserError(f"{name} holds a colour image ({header.path.name}); give a grey one.")
        if header.frames > 1:
            raise UserError(
                f"{name} is a multi-frame object ({header.path.name}, {header.frames} frames), which can't be read "
                "yet; convert it to one file per slice, NIfTI or NRRD."
            )
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
        if (header.rows, header.columns) != (first.rows, first.columns) or not np.allclose(
            header.spacing, first.spacing or (), rtol=1e-4
        ):
            raise UserError(
                f"{name} mixes slices of different size or pixel spacing ({first.path.name} and {header.path.name}); "
                "keep only those of one volume."
            )
        if not np.allclose(header.orientation, first.orientation or (), atol=1e-3):
            raise UserError(
                f"{name} mixes slices of different directions ({first.path.name} and {header.path.name}), as "
                "localizers do; keep only those of one volume."
            )


def _unit_axes(orientation: Sequence[float], name: str) -> tuple[np.ndarray, np.ndarray]:
    axes = np.array(orientation, dtype=np.float64).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.any(np.abs(lengths - 1) > 1e-2) or abs(axes[0] @ axes[1]) > 1e-3:
        raise UserError(f"{name} has unusable directions: rows and columns are not at right angles; export it anew.")
    i_axis, j_axis = axes / lengths[:, None]
    return i_axis, j_axis


def _refuse_uneven(headers: Sequence[Header], heights: np.ndarray, normal: np.ndarray, name: str) -> None:
    gaps = np.diff(heights)
    doubled = np.flatnonzero(gaps < _ROUNDING_MM / 2)
    if len(doubled):
        n = int(doubled[0])
        raise UserError(
            f"{name} holds {len(doubled)} slice position{'s' if len(doubled) > 1 else ''} twice (first at "
            f"{_place(headers[n], normal)}: {headers[n].path.name} and {headers[n + 1].path.name}); keep one of each."
        )
    usual = float(np.median(gaps))
    tolerance = max(_SPACING_TOLERANCE * usual, _ROUNDING_MM)
    even = np.linspace(heights[0], heights[-1], len(heights))
    uneven = np.abs(gaps - usual) > tolerance
    if not uneven.any():
        if np.abs(heights - even).max() > max(0.1 * usual, _ROUNDING_MM):
            raise UserError(
                f"{name} has slices whose distance drifts from {gaps.min():.3f} to {gaps.max():.3f} mm; resample it to "
                "an even spacing."
            )
        return
    n = int(np.flatnonzero(uneven)[0])
    where = f"between {_place(headers[n], normal)} and {_place(headers[n + 1], normal)}"
    steps = gaps[n] / usual
    if steps > 1.5 and abs(steps - round(steps)) * usual <= tolerance * round(steps):
        missing = round(steps) - 1
        raise UserError(
            f"{name} lacks {missing} slice{'s' if missing > 1 else ''} {where} (slices are {usual:g} mm apart); "
            "export the complete series."
        )
    raise UserError(
        f"{name} has unevenly spaced slices: usually {usual:g} mm apart, but {gaps[n]:g} mm {where}; export the "
        "complete series or resample it to an even spacing."
    )


def _refuse_tilted(positions: np.ndarray, normal: np.ndarray, pixel_mm: float, name: str) -> None:
    offsets = positions - positions[0]
    along = offsets @ normal
    sideways = np.linalg.norm(offsets - along[:, None] * normal, axis=1)
    if sideways.max() > _SIDEWAYS_TOLERANCE * pixel_mm:
        n = int(sideways.argmax())
        angle = np.degrees(np.arctan2(sideways[n], along[n]))
        raise UserError(
            f"{name} has slices that are shifted sideways against each other, as a gantry tilted by {angle:.1f} "
            "degrees gives, which can't be read yet; resample it to an upright stack."
        )


def _place(header: Header, normal: np.ndarray) -> str:
    """Position of a slice in words, along the body axis that the normal is closest to: "S 12.5 mm"."""
    axis = int(np.abs(normal).argmax())
    value = (header.position or (0.0, 0.0, 0.0))[axis]
    return f"{_LETTERS[axis][value < 0]} {abs(value):.10g} mm"
