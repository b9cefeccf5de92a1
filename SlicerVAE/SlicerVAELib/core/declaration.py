"""What a model was made for, and whether a volume is that."""

import dataclasses

import numpy as np

from .acquisition import UNKNOWN_TRAINING, TrainingAcquisition
from .errors import UserError
from .metal import METAL_HU, metal_in_body_cm3
from .planes import Plane, extents_mm, own_slices
from .volume import Modality, Volume

PHANTOM = "Phantom thorax"  # how the series of ``slicervae phantom`` describe themselves


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What a bundle says of the images it was made for.

    ``field_of_view_mm`` is the side of the square the model sees, ``slice_step_mm`` the smallest and largest distance
    of slices in the training data, which lie in ``plane``. ``intended_use`` is a sentence for the person. A
    demonstration was trained on phantoms.
    """

    modality: Modality
    body_part: str
    field_of_view_mm: float
    slice_step_mm: tuple[float, float]
    training_patients: int
    intended_use: str
    structures: tuple[str, ...] = ()
    is_demonstration: bool = False
    plane: Plane = "axial"
    acquisition: TrainingAcquisition = UNKNOWN_TRAINING


def check(volume: Volume, declaration: Declaration, model: str, *, override: bool = False) -> tuple[str, ...]:
    """Refuse what the model must not see, and return a sentence for each thing that is doubtful.

    Raises UserError for a dose, another modality, or values that are not numbers; and without an ``override`` for a
    demonstration that is to look at a patient.
    """
    name = volume.source.name or "The input"
    if volume.modality is Modality.DOSE:
        raise UserError(f"{name} is a dose distribution, not an image; choose the CT or MR that it was planned on.")
    if volume.modality not in (Modality.UNKNOWN, declaration.modality):
        guessed = ", judged by its values" if volume.modality_is_inferred else ""
        raise UserError(
            f"{name} is {_article(volume.modality)} image{guessed}, but {model} was made for {declaration.modality}; "
            f"choose a model for {volume.modality} or another image."
        )
    if volume.array.dtype.kind == "f":
        invalid = volume.array.size - int(np.count_nonzero(np.isfinite(volume.array)))
        if invalid:
            values = "1 value that is not a number" if invalid == 1 else f"{invalid:,} values that are not numbers"
            raise UserError(f"{name} holds {values} (NaN or infinite); correct the image and try again.")
    if declaration.is_demonstration and volume.source.description != PHANTOM and not override:
        raise UserError(
            f"{model} is a demonstration that has seen phantoms only, and {name} is none; train a model on patients of "
            "your own with 'slicervae fit', or override this, which every result will tell."
        )
    return tuple(_doubts(volume, declaration, name, model))


def _doubts(volume: Volume, declaration: Declaration, name: str, model: str) -> list[str]:
    doubts = []
    if declaration.is_demonstration and volume.source.description != PHANTOM:
        doubts.append(f"{model} is a demonstration that has seen phantoms only; its results mean nothing for {name}.")
    if volume.modality is Modality.UNKNOWN:
        doubts.append(f"{name} does not say what it is; it was taken for {_article(declaration.modality)} image.")
    elif volume.modality_is_inferred:
        doubts.append(f"{name} does not say what it is; by its values it is {_article(volume.modality)} image.")
    side = declaration.field_of_view_mm
    extent = extents_mm(volume.geometry, declaration.plane)[:2]
    if extent.min() < 0.5 * side:
        doubts.append(
            f"{name} is {extent[0]:.0f} × {extent[1]:.0f} mm, less than half of the {side:.0f} mm that {model} expects."
        )
    if extent.max() > 1.1 * side:
        doubts.append(
            f"{name} is {extent[0]:.0f} × {extent[1]:.0f} mm; {model} sees the central {side:.0f} mm, "
            "the rest is marked as not seen."
        )
    doubts += declaration.acquisition.doubts(volume.source.acquisition, name, model)
    if volume.modality is Modality.CT and (metal := metal_in_body_cm3(volume)):
        doubts.append(
            f"{name} shows {metal:.1f} cm³ of metal ({METAL_HU:.0f} HU or more) in the body; its streaks may pass for "
            "anomalies."
        )
    step, _ = own_slices(volume.geometry, declaration.plane)
    low, high = declaration.slice_step_mm
    if not low / 2 <= step <= high * 2:
        trained = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
        doubts.append(f"{name} has slices every {step:.1f} mm; {model} was trained on {trained} mm.")
    return doubts


def _article(modality: Modality) -> str:
    return f"an {modality}" if modality is Modality.MR else f"a {modality}"
