"""The demonstration patient in the panel: everything chosen, and the results on the screen."""

from typing import Any

from ..core.errors import UserError
from ..scene import slice_views
from ..scene.anomaly_overlay import AnomalyMap
from ..scene.demonstration import load_demonstration_patient
from ..scene.nodes import VolumeNode
from ..scene.resources import MODEL
from .chosen_model import NO_PATH
from .section import Panel
from .state import Message
from .translation import tr as _

LOADED = _(
    "The demonstration patient is a phantom; its reconstruction and anomaly map were made by the demonstration model. "
    "To find something in patients, train a model on your own archive with 'slicervae fit'."
)


def show_demonstration_patient(panel: Panel) -> None:
    """Load the patient as the input, with its results as the outputs; without a model, choose the demonstration's."""
    try:
        nodes = load_demonstration_patient()
    except UserError as error:
        panel.runs.say(Message(str(error), is_error=True))
        return
    parameters = panel.parameters
    if parameters.modelPath == NO_PATH:
        parameters.modelPath = MODEL
    parameters.inputVolume, parameters.structures = nodes.volume, nodes.structures
    parameters.reconstructionVolume, parameters.residualVolume = nodes.maps.reconstruction, None
    parameters.anomalyVolume = nodes.maps.anomaly
    _show(AnomalyMap.of(nodes.maps.anomaly), nodes.volume, parameters)
    panel.runs.say(Message(LOADED))


def _show(found: AnomalyMap, volume: VolumeNode, parameters: Any) -> None:
    """Show the map over the volume where the largest region lies."""
    scene, level = volume.GetScene(), parameters.alarmLevel
    regions = found.regions(level, parameters.smallestRegion).regions
    largest = max(regions, key=lambda region: region.volume_cm3, default=None)
    found.show_above(level)
    slice_views.show_over(scene, volume, found.node, parameters.overlayOpacity)
    found.show_legend()
    slice_views.present(scene, volume, largest.peak_lps_mm if largest is not None else None)
