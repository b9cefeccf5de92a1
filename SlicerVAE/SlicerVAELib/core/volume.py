"""Volume: an array, where it lies in the patient, and what it measures. The one currency between all rooms.

Arrays are indexed K, J, I (slice, row, column), as Slicer and SimpleITK give them. Positions are millimetres in RAS
(right, anterior, superior), the frame of Slicer's scene; what a person reads is given in DICOM's LPS.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

from .acquisition import UNKNOWN, Acquisition
from .errors import UserError


class Modality(enum.StrEnum):
    """What a volume's values are, in DICOM's words."""

    CT = "CT"  # Hounsfield units
    MR = "MR"  # arbitrary units
    XRAY = "DX"  # projection X-ray, arbitrary units
    DOSE = "RTDOSE"  # gray; never an input of a model
    UNKNOWN = ""

    @property
    def unit(self) -> str:
        """Unit of the values, empty for arbitrary ones."""
        return {Modality.CT: "HU", Modality.DOSE: "Gy"}.get(self, "")


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """A grid in the patient: ``shape`` (K, J, I) and the 4×4 matrix from (i, j, k, 1) to RAS millimetres."""

    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        matrix.flags.writeable = False
        object.__setattr__(self, "ijk_to_ras", matrix)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if matrix.shape != (4, 4) or len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a geometry needs a 4x4 matrix and three sizes, got {matrix.shape} and {self.shape}")
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            raise UserError("The image's directions or spacing are not usable: its axes do not span a volume.")

    @classmethod
    def from_lps(
        cls,
        shape: tuple[int, int, int],
        *,
        spacing: tuple[float, float, float],
        origin: tuple[float, float, float],
        direction: np.ndarray | None = None,
    ) -> "Geometry":
        """Geometry from ITK's or DICOM's description: spacing along i, j, k in mm, origin in LPS mm, direction cosines
        of i, j, k as the columns of a 3×3 matrix (identity when None)."""
        matrix = np.eye(4)
        matrix[:3, :3] = (np.eye(3) if direction is None else np.asarray(direction).reshape(3, 3)) * np.asarray(spacing)
        matrix[:3, 3] = origin
        return cls(shape, LPS_TO_RAS @ matrix)

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size along i, j, k in mm."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors of i, j, k in RAS, as columns of a 3×3 matrix."""
        return self.ijk_to_ras[:3, :3] / self.spacing

    @property
    def origin(self) -> np.ndarray:
        """Centre of voxel (0, 0, 0) in RAS mm."""
        return self.ijk_to_ras[:3, 3].copy()

    @property
    def centre(self) -> np.ndarray:
        """Centre of the grid in RAS mm."""
        last = np.array(self.shape[::-1], dtype=np.float64) - 1
        return self.ijk_to_ras[:3, :3] @ (last / 2) + self.ijk_to_ras[:3, 3]

    @property
    def voxel_volume_cm3(self) -> float:
        """Volume of one voxel in cm³."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])) / 1000)

    @property
    def lps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(spacing, origin in LPS mm, direction cosines as columns), as ITK and DICOM describe a grid."""
        matrix = LPS_TO_RAS @ self.ijk_to_ras
        return self.spacing, matrix[:3, 3].copy(), matrix[:3, :3] / self.spacing

    def transformed(self, matrix: np.ndarray) -> "Geometry":
        """The same grid after a 4×4 transform of RAS space (a parent transform)."""
        return Geometry(self.shape, np.asarray(matrix) @ self.ijk_to_ras)

    def matches(self, other: "Geometry", tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same sizes and every corner lies within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [[i, j, k, 1] for i in (0, self.shape[2]) for j in (0, self.shape[1]) for k in (0, self.shape[0])]
        )
        return bool(np.abs((self.ijk_to_ras - other.ijk_to_ras) @ corners.T).max() <= tolerance_mm)


LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a volume came from, for messages and provenance. Empty text where unknown."""

    name: str = ""  # what a person calls it: a node's name or a file's
    path: str = ""
    patient: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    description: str = ""
    body_part: str = ""
    acquisition: Acquisition = UNKNOWN
    notes: tuple[str, ...] = ()  # what was done to the values on reading, or is doubtful about them, in words


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """An image in the patient.

    ``array`` has the geometry's shape (K, J, I) and any real type; ``masks`` are named boolean arrays of that shape
    (structures of a structure set), ``channels`` further co-registered images by name. ``modality_is_inferred`` says
    that no header gave the modality.
    """

    array: np.ndarray
    geometry: Geometry
    modality: Modality = Modality.UNKNOWN
    modality_is_inferred: bool = False
    masks: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    source: Source = Source()
    channels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} and geometry {self.geometry.shape} differ")
        for kind, arrays in (("mask", self.masks), ("channel", self.channels)):
            for name, array in arrays.items():
                if array.shape != self.array.shape:
                    raise ValueError(f"{kind} '{name}' has shape {array.shape}, not {self.array.shape}")

    def replace(self, **changes: Any) -> "Volume":
        """A copy with some fields changed; the array is shared unless replaced."""
        return dataclasses.replace(self, **changes)
