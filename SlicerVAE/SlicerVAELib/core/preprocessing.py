"""How a volume becomes what a model sees: data, kept in the bundle and applied by ``core.stack``."""

import dataclasses
from typing import Literal

import numpy as np

from .planes import Plane


@dataclasses.dataclass(frozen=True)
class HounsfieldWindow:
    """Clip to [lower, upper] HU and map to [0, 1]; −800…700 is source 002's window of the thorax."""

    kind: Literal["hounsfield"] = "hounsfield"
    lower: float = dataclasses.field(default=-800.0, metadata={"min": -1024.0, "max": 4000.0})
    upper: float = dataclasses.field(default=700.0, metadata={"min": -1000.0, "max": 30000.0})

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise ValueError(f"the window's lower end {self.lower:g} is not below its upper end {self.upper:g}")

    def window(self, array: np.ndarray) -> tuple[float, float]:  # noqa: ARG002 - the same for every volume
        """The values that become 0 and 1."""
        return self.lower, self.upper


@dataclasses.dataclass(frozen=True)
class ForegroundPercentiles:
    """Clip between the lower percentile of the whole volume and the upper one of its foreground, and map to [0, 1].

    The foreground is what lies above the volume's mean: MR has no units, and air would otherwise set the scale. Taken
    per volume, never per slice, so that neighbouring slices stay comparable.
    """

    kind: Literal["foreground-percentiles"] = "foreground-percentiles"
    lower: float = dataclasses.field(default=0.5, metadata={"min": 0.0, "max": 50.0})
    upper: float = dataclasses.field(default=99.5, metadata={"min": 50.0, "max": 100.0})

    def window(self, array: np.ndarray) -> tuple[float, float]:
        """The values that become 0 and 1."""
        if array.dtype == bool:  # of which numpy takes no percentiles
            array = array.view(np.uint8)
        low = float(np.percentile(array, self.lower))
        foreground = array[array > array.mean()]
        high = float(np.percentile(foreground, self.upper)) if foreground.size else low
        return (low, high) if high > low else (low, low + 1.0)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a volume becomes a model's slices, or its cube.

    The slices lie in ``plane``. ``size`` pixels a side of ``spacing_mm`` each; the field of view lies about the centre
    of the grid, or of the foreground's bounding box (for heads, which do not lie in the middle of their image).
    ``slice_step_mm`` None keeps the volume's own slices. ``depth`` "cube" interpolates the whole extent of the volume
    across the plane to ``size`` slices, which make one image. ``body_only`` clears what lies outside of the patient's
    body, such as the couch, to the window's lower end (see ``core.body``).

    ``channels`` are the names of co-registered images, the first that of the volume itself; none is one image without
    a name. Each has an intensity window of its own. ``structures`` are names of masks: each becomes a channel after the
    images, followed by one for what lies in none of them.
    """

    intensity: HounsfieldWindow | ForegroundPercentiles
    size: int = dataclasses.field(metadata={"min": 8, "max": 4096})
    spacing_mm: float = dataclasses.field(metadata={"min": 0.01, "max": 100.0})
    centre: str = dataclasses.field(default="grid", metadata={"choices": ("grid", "foreground")})
    slice_step_mm: float | None = dataclasses.field(default=None, metadata={"min": 0.01, "max": 1000.0})
    depth: Literal["slices", "cube"] = "slices"
    plane: Plane = "axial"
    body_only: bool = False
    channels: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.depth == "cube" and self.slice_step_mm is not None:
            raise ValueError("a cube's slices follow from the volume's extent, so slice_step_mm has no place beside it")
        for kind, names in (("channels", self.channels), ("structures", self.structures)):
            if len(set(names)) < len(names) or "" in names:
                raise ValueError(f"the {kind} {', '.join(map(repr, names))} need names, each another one")

    @property
    def field_of_view_mm(self) -> float:
        """Side of the square that the model sees, in mm."""
        return self.size * self.spacing_mm

    @property
    def dimensions(self) -> int:
        """2 for slices, 3 for a cube."""
        return 3 if self.depth == "cube" else 2

    @property
    def image_channels(self) -> int:
        """Number of channels that hold an image."""
        return max(1, len(self.channels))

    @property
    def structure_channels(self) -> int:
        """Number of channels, after the images', that hold a structure or what lies in none."""
        return len(self.structures) + 1 if self.structures else 0

    @property
    def channel_count(self) -> int:
        """Number of channels of what the model sees."""
        return self.image_channels + self.structure_channels
