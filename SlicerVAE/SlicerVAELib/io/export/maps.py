"""Maps as Parametric Map objects, and regions of them as Segmentation objects, with highdicom."""

import copy
import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from ...core.engine import Provenance
from ...core.errors import UserError
from .headers import (
    CHARACTER_SET,
    MANUFACTURER,
    contribution_of_model,
    copy_present,
    describe,
    long_string,
    model_of,
    set_laterality,
)
from .source import SourceSeries, unusable_headers_told

_NUMBERS = {"residual": 9002, "anomaly map": 9003, "anomaly": 9004, "field of view": 9005}
_ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")
_SHOWN_PERCENTILE = 99.8


@dataclasses.dataclass(frozen=True)
class _Scale:
    """What a map's numbers mean: their unit, the least and the greatest that mean anything, and those to show as black
    and white."""

    unit: Code
    explanation: str
    ends: tuple[float, float]
    shown: tuple[float, float]
    derivation: Code | None = None  # how they come from the source, where DICOM has a word for it


def need_highdicom() -> ModuleType:
    """The package highdicom. Raises UserError where it is not installed."""
    try:
        import highdicom
    except ImportError as error:
        raise UserError(
            "Maps as DICOM need the Python package highdicom; install it with 'pip install highdicom'."
        ) from error
    return highdicom


def residual_map(source: SourceSeries, residual: np.ndarray, unit: str, provenance: Provenance) -> Dataset:
    """input − reconstruction (K, J, I) in ``unit``, "HU" or empty for arbitrary ones, as float32."""
    reach = float(np.percentile(np.abs(residual), _SHOWN_PERCENTILE)) or 1.0
    scale = _Scale(
        unit=codes.UCUM.HounsfieldUnit if unit == "HU" else _ARBITRARY,
        explanation=f"input − reconstruction, {unit or 'arbitrary units'}",
        ends=(float(residual.min()), float(residual.max())),
        shown=(-reach, reach),
        derivation=codes.cid7203.PixelByPixelSubtraction,
    )
    return _parametric_map(source, residual, "residual", scale, provenance)


def anomaly_map(
    source: SourceSeries, anomaly: np.ndarray, unit: str, not_seen: float, provenance: Provenance
) -> Dataset:
    """The anomaly map (K, J, I) as float32.

    ``not_seen``, where the model saw nothing, is declared as the pixel padding value and lies outside of the range that
    the real-world value mapping maps. DICOM has no code for a map's own unit: it is dimensionless, and named by the
    code's meaning.
    """
    values = np.where(anomaly == not_seen, 0, anomaly)
    lowest, highest = (float(end) for end in (values.min(), values.max()))
    reach = float(np.percentile(np.abs(values), _SHOWN_PERCENTILE)) or 1.0
    scale = _Scale(
        unit=Code("1", "UCUM", long_string(unit)),
        explanation=unit,
        ends=(min(lowest, 0.0), max(highest, 0.0)),
        shown=(-reach if lowest < 0 else 0.0, reach),
    )
    dataset = _parametric_map(source, anomaly, "anomaly map", scale, provenance)
    dataset.FloatPixelPaddingValue = dataset.FloatPixelPaddingRangeLimit = not_seen
    return dataset


def anomaly_segmentation(source: SourceSeries, mask: np.ndarray, threshold: str, provenance: Provenance) -> Dataset:
    """Where the map passes a threshold, (K, J, I) boolean with at least one voxel, as the segment "Anomaly".

    The coded type is "Abnormality" rather than a lesion: nothing tells what kind of structure was marked.
    """
    what = (codes.SCT.MorphologicallyAbnormalStructure, codes.NCIt.Abnormality)
    return _segmentation(source, mask, "anomaly", what, {"Threshold": threshold}, provenance)


def field_of_view_segmentation(source: SourceSeries, mask: np.ndarray, provenance: Provenance) -> Dataset:
    """What the model saw, (K, J, I) boolean, as the segment "Field of view": outside, no map says anything."""
    what = (codes.SCT.SpatialAndRelationalConcept, codes.NCIt.ImagingRegionOfInterest)
    return _segmentation(source, mask, "field of view", what, {}, provenance)


def _parametric_map(
    source: SourceSeries, array: np.ndarray, kind: str, scale: _Scale, provenance: Provenance
) -> Dataset:
    highdicom = need_highdicom()
    low, high = scale.shown
    with unusable_headers_told(source):
        dataset = highdicom.pm.ParametricMap(
            source_images=_referred_to(source),
            pixel_array=array.astype(np.float32, copy=False),
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[
                highdicom.pm.RealWorldValueMapping(
                    lut_label=kind.upper(),
                    lut_explanation=long_string(scale.explanation),
                    unit=scale.unit,
                    value_range=scale.ends,
                )
            ],
            voi_lut_transformations=[
                highdicom.VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)
            ],
            derivation=scale.derivation,
            **_common(kind, provenance),
        )
        completed = _completed(dataset, source, provenance)
        set_laterality(completed)  # a segmentation has none: its segments may lie on either side
        return completed


def _segmentation(
    source: SourceSeries,
    mask: np.ndarray,
    kind: str,
    what: tuple[Code, Code],
    parameters: dict[str, str],
    provenance: Provenance,
) -> Dataset:
    highdicom = need_highdicom()
    software, _, version = provenance.software.rpartition(" ")
    with unusable_headers_told(source):
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=long_string(software or MANUFACTURER),
            family=codes.DCM.ArtificialIntelligence,
            version=long_string(version),
            source=MANUFACTURER,
            parameters={**parameters, "Model": model_of(provenance), "SHA-256": provenance.bundle_sha256},
        )
        segment = highdicom.seg.SegmentDescription(
            segment_number=1,
            segment_label=kind.capitalize(),
            segmented_property_category=what[0],
            segmented_property_type=what[1],
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        dataset = highdicom.seg.Segmentation(
            source_images=_referred_to(source),
            pixel_array=mask.astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[segment],
            **_common(kind, provenance),
        )
        return _completed(dataset, source, provenance)


def _common(kind: str, provenance: Provenance) -> dict[str, Any]:
    description = describe(f"RESEARCH {kind}", provenance)
    return {
        "series_instance_uid": generate_uid(),
        "series_number": _NUMBERS[kind],
        "series_description": description,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": long_string(model_of(provenance)),
        "software_versions": long_string(provenance.software),
        "device_serial_number": long_string(provenance.bundle_sha256),
        "content_description": description,
        "content_label": kind.replace(" ", "_").upper(),
        "specific_character_set": CHARACTER_SET,
    }


def _referred_to(source: SourceSeries) -> list[Dataset]:
    """The source's headers as highdicom needs them: it takes the maps' slice distance and thickness from the first."""
    first, *others = source.slices
    first = copy.copy(first)
    distance = float(source.geometry.spacing[2])
    first.SpacingBetweenSlices = format_number_as_ds(distance)
    first.SliceThickness = first.get("SliceThickness") or format_number_as_ds(distance)
    return [first, *others]


def _completed(dataset: Dataset, source: SourceSeries, provenance: Provenance) -> Dataset:
    copy_present(source.slices[0], dataset, ("BodyPartExamined", "Laterality"))
    dataset.ContributingEquipmentSequence.append(contribution_of_model(provenance, codes.DCM.ProcessingEquipment))
    return dataset
