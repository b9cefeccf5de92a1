"""How an image was acquired, as far as its intensities depend on it: tube voltage and contrast agent."""

import dataclasses
from collections.abc import Iterable

_NO_AGENT = {"", "NO", "NONE", "N/A"}


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """``kilovoltage`` is the peak tube voltage in kV, ``has_contrast`` whether a contrast agent was given; None where
    no header tells."""

    kilovoltage: float | None = None
    has_contrast: bool | None = None


UNKNOWN = Acquisition()


def is_agent(text: str) -> bool:
    """Whether DICOM's Contrast/Bolus Agent (0018,0010) names one."""
    return text.strip().upper() not in _NO_AGENT


@dataclasses.dataclass(frozen=True)
class TrainingAcquisition:
    """How the training images were acquired: the lowest and the highest tube voltage in kV, and whether there were
    images with and without a contrast agent. None where no header told it."""

    kilovoltage: tuple[float, float] | None = None
    with_contrast: bool | None = None
    without_contrast: bool | None = None

    @classmethod
    def of(cls, one: Acquisition) -> "TrainingAcquisition":
        """That of a single image."""
        voltage, contrast = one.kilovoltage, one.has_contrast
        return cls(
            None if voltage is None else (voltage, voltage), contrast, None if contrast is None else not contrast
        )

    @classmethod
    def summed_up(cls, parts: Iterable["TrainingAcquisition"]) -> "TrainingAcquisition":
        """That of all images together."""
        parts = list(parts)
        voltages = [voltage for part in parts for voltage in part.kilovoltage or ()]
        return cls(
            (min(voltages), max(voltages)) if voltages else None,
            _any(part.with_contrast for part in parts),
            _any(part.without_contrast for part in parts),
        )

    def doubts(self, acquisition: Acquisition, name: str, model: str) -> list[str]:
        """A sentence for each way in which the image ``name`` was acquired unlike all that ``model`` was trained on."""
        doubts = []
        voltage = acquisition.kilovoltage
        if voltage is not None and self.kilovoltage is not None:
            low, high = self.kilovoltage
            if not low <= voltage <= high:
                seen = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                doubts.append(f"{name} was acquired at {voltage:g} kV; {model} was trained on images of {seen} kV.")
        if acquisition.has_contrast is True and self.with_contrast is False:
            doubts.append(f"{name} was acquired with a contrast agent; {model} was trained on images without.")
        if acquisition.has_contrast is False and self.without_contrast is False:
            doubts.append(f"{name} names no contrast agent; {model} was trained on images with one.")
        return doubts


UNKNOWN_TRAINING = TrainingAcquisition()


def _any(told: Iterable[bool | None]) -> bool | None:
    known = [each for each in told if each is not None]
    return any(known) if known else None
