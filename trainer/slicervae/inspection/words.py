"""The findings as short texts that the table and the page share."""

from collections import Counter
from collections.abc import Iterator

from .findings import Inspection, PatientFacts, VolumeFacts


def kind(volume: VolumeFacts) -> str:
    """CT, MR, with a question mark where the values had to tell."""
    return (volume.modality or "?") + ("?" if volume.modality_is_inferred and volume.modality else "")


def name(volume: VolumeFacts) -> str:
    """What a row of the table calls it: its description, or else its file or the end of its UID."""
    file = f"series …{volume.series_uid[-10:]}" if volume.series_uid else volume.path.rpartition("/")[2]
    called = volume.description or file
    return f"{called}, {volume.part}" if volume.part else called


def size(volume: VolumeFacts) -> str:
    """Voxels, as in 512×512×120."""
    return "?" if volume.size is None else "×".join(map(str, volume.size))


def spacing(volume: VolumeFacts) -> str:
    """Millimetres, as in 0.98×0.98×2.5."""
    return "?" if volume.spacing_mm is None else "×".join(_short(value) for value in volume.spacing_mm)


def field_of_view(volume: VolumeFacts) -> str:
    """Millimetres, as in 500×500×300."""
    return "?" if volume.field_of_view_mm is None else "×".join(f"{value:.0f}" for value in volume.field_of_view_mm)


def intensities(volume: VolumeFacts) -> str:
    """Lowest and highest value, as in -1024…3071 HU; empty where the pixels were not read."""
    values = volume.intensities
    if values is None:
        return ""
    return f"{values.minimum:.4g}…{values.maximum:.4g} {values.unit}".rstrip()


def acquisition(volume: VolumeFacts) -> str:
    """Tube voltage and contrast agent, as far as they are told."""
    parts = [] if volume.tube_voltage_kv is None else [f"{volume.tube_voltage_kv:g} kV"]
    parts += [f"contrast agent {volume.contrast_agent}"] if volume.contrast_agent else []
    return ", ".join(parts)


def companions(patient: PatientFacts) -> Iterator[str]:
    """What a patient has beside volumes, a line each."""
    for each in patient.structure_sets:
        names = [item.name + ("" if item.contours else " (empty)") for item in each.structures]
        yield f"structure set {each.path}: {', '.join(names) or 'no structures'}"
    for dose in patient.doses:
        words = ", ".join(filter(None, (dose.units.replace("GY", "Gy"), dose.summation.lower())))
        yield f"dose {dose.path} ({words or 'without units'})"
    for plan in patient.plans:
        words = ", ".join(filter(None, (plan.label, plan.approval.lower())))
        yield f"plan {plan.path}" + (f" ({words})" if words else "")


def formats(inspection: Inspection) -> str:
    """How many volumes of which format."""
    counts = Counter(volume.format for volume in inspection.volumes)
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items()))


def left_out(inspection: Inspection) -> Iterator[str]:
    """What is left out and why, a sentence each."""
    for each in inspection.left_out:
        files = f" ({each.files} files)" if each.files > 1 else ""
        yield f"{each.what}{files}: {each.reason}."


def _short(millimetres: float) -> str:
    return f"{millimetres:.2f}".rstrip("0").rstrip(".")
