"""One run of the model on the chosen input, as every section makes it: its slices, its structures, its doubts."""

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any

from ..core.cropping import crop, uncrop
from ..core.engine import AnomalyOptions, Reconstruction
from ..core.errors import UserError
from ..scene.jobs import MapsJob, prepare_maps
from ..scene.nodes import VolumeNode
from ..scene.segmentations import masks_from_node
from .chosen_input import slices_wanted
from .readiness import UNREAD, further_images, is_overridden, matches_of
from .runs import Step
from .section import Panel
from .translation import tr as _

OVERRIDDEN = "warnings overridden by"


@dataclasses.dataclass(frozen=True, eq=False)
class MapsRun:
    """A job with the engine's answer, on the input's grid; ``doubts`` are those that the person overrode."""

    job: MapsJob
    result: Reconstruction
    doubts: tuple[str, ...]

    @property
    def news(self) -> tuple[str, ...]:
        """What the engine has to say that the person has not read before the run."""
        return tuple(notice for notice in self.result.notices if notice not in self.doubts)


def anomaly_options(parameters: Any) -> AnomalyOptions:
    """How the person wants an anomaly map to be made."""
    return AnomalyOptions(
        method=parameters.anomalyMethod.value,
        calibrated=parameters.calibrated,
        body_erosion_mm=0.0 if parameters.bodyOnly else None,
    )


def run_maps(
    panel: Panel, chosen: Mapping[str, VolumeNode | None], anomaly: AnomalyOptions | None = None
) -> Generator[Step, Any, MapsRun]:
    """Send the chosen input through the chosen model; ``chosen`` are the outputs as ``prepare_maps`` takes them.

    Raises UserError for what no model takes, for doubts that nobody overrode, and what the engine raises.
    """
    parameters, manifest = panel.parameters, panel.manifest
    job = prepare_maps(
        parameters.inputVolume,
        panel.bundle,
        chosen,
        channels=further_images(panel),
        anomaly=anomaly,
        hardware=panel.hardware,
    )
    panel.input.choose(parameters.inputVolume, manifest)
    if (facts := panel.input.facts) is None:
        raise UserError(panel.input.complaint)
    if facts.doubts and not is_overridden(panel):
        raise UserError(UNREAD)
    volume = job.request.volume
    if manifest.preprocessing.structures:
        masks = masks_from_node(parameters.structures, volume)
        segments = {match.structure: match.segment for match in matches_of(panel)}
        volume = volume.replace(masks=chosen_masks(masks, segments))
    slices = slices_wanted(parameters, facts)
    part = volume if slices.is_whole(volume.geometry) else crop(volume, slices)
    result = yield Step(dataclasses.replace(job.request, volume=part, override=bool(facts.doubts)))
    if part is not volume:
        result = uncrop(result, volume, slices)
        slice_words = f"{slices.first + 1} to {slices.last + 1} of {facts.slice_count}"
        result = _with_parameter(result, "slices", slice_words)
    if facts.doubts:
        result = overridden(result)
    return MapsRun(job, result, facts.doubts)


def chosen_masks(masks: Mapping[str, Any], segments: Mapping[str, str]) -> dict[str, Any]:
    """The masks of the model's structures, by these, from those of ``segments``. Raises UserError for one that does not
    lie within the input."""
    missing = [segment or structure for structure, segment in segments.items() if segment not in masks]
    if missing:
        raise UserError(
            _("'{name}' does not lie within the input; choose the segment that is drawn on it.").format(name=missing[0])
        )
    return {structure: masks[segment] for structure, segment in segments.items()}


def overridden(result: Reconstruction) -> Reconstruction:
    """Return a result that tells that its warnings were overridden."""
    return _with_parameter(result, OVERRIDDEN, "the person who ran it")


def _with_parameter(result: Reconstruction, name: str, value: str) -> Reconstruction:
    provenance = dataclasses.replace(result.provenance, parameters=result.provenance.parameters | {name: value})
    return dataclasses.replace(result, provenance=provenance)
