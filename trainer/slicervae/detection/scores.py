"""What is compared: anomaly maps, and what they have to be better than."""

import abc
import dataclasses

import numpy as np

from SlicerVAELib.core.engine import AnomalyOptions, Reconstruction


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """A volume's image (K, J, I) scaled to 0…1 by the model's window, and what the model made of it."""

    image: np.ndarray
    result: Reconstruction

    @property
    def residual(self) -> np.ndarray:
        """input − reconstruction in units of the window, (K, J, I)."""
        low, high = self.result.window
        return self.result.arrays["residual"] / (high - low)


class Score(abc.ABC):
    """A number for every voxel, higher where an anomaly is more likely. ``needs`` is what the engine is asked for."""

    name: str
    uses_intensity: bool = False

    @property
    def needs(self) -> AnomalyOptions | None:
        """The map to make; None where none is needed."""
        return None

    @abc.abstractmethod
    def of(self, answer: Answer) -> np.ndarray:
        """The scores (K, J, I)."""


@dataclasses.dataclass(frozen=True)
class Intensity(Score):
    """The image itself: what a plain threshold finds. No model has a part in it."""

    name: str = "intensity threshold"
    uses_intensity: bool = True

    def of(self, answer: Answer) -> np.ndarray:
        """The image."""
        return answer.image


@dataclasses.dataclass(frozen=True)
class PlainResidual(Score):
    """|input − reconstruction| without smoothing or calibration: the map of the sources."""

    name: str = "plain absolute residual"

    def of(self, answer: Answer) -> np.ndarray:
        """The absolute residual."""
        return np.abs(answer.residual)


@dataclasses.dataclass(frozen=True)
class BrightResidual(Score):
    """The positive residual, without and with the intensity as a factor."""

    weighted: bool
    name: str = "positive residual"
    uses_intensity: bool = False

    @classmethod
    def both(cls) -> "tuple[BrightResidual, BrightResidual]":
        """The fused map and the same without the intensity in it."""
        return cls(False), cls(True, "positive residual × intensity", True)

    def of(self, answer: Answer) -> np.ndarray:
        """max(residual, 0), times the image where weighted."""
        positive = np.maximum(answer.residual, 0)
        return positive * np.maximum(answer.image, 0) if self.weighted else positive


@dataclasses.dataclass(frozen=True)
class MapScore(Score):
    """An anomaly map of the engine. ``side`` takes of a signed map what is "brighter" than expected, what is "darker",
    or "both"; of others "both" is the map itself."""

    options: AnomalyOptions
    name: str
    side: str = "both"

    @property
    def needs(self) -> AnomalyOptions:
        """The options of the map."""
        return self.options

    def of(self, answer: Answer) -> np.ndarray:
        """The map, or the side of it."""
        anomaly, is_signed = answer.result.arrays["anomaly"], answer.result.anomaly_is_signed
        if self.side == "brighter":
            return anomaly
        if self.side == "darker":
            return -anomaly
        # A calibrated map of a method that has no sign is below zero where the image is less unusual than others.
        return np.abs(anomaly) if is_signed and self.options.method == "signed-residual" else anomaly


BASELINES = (Intensity(), PlainResidual())
