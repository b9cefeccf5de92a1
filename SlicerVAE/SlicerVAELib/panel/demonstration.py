"""The demonstration patient in the panel: everything chosen, and the results on the screen."""

from ..core.errors import UserError
from ..scene import slice_views
from ..scene.demonstration import MODEL, load_demonstration_patient
from .chosen_model import NO_PATH
from .section import Panel
from .state import Message

LOADED = (
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
    slice_views.show_over(nodes.volume.GetScene(), nodes.volume, nodes.maps.anomaly, parameters.overlayOpacity)
    panel.runs.say(Message(LOADED))
