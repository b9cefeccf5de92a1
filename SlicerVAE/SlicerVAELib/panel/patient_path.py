"""The two ends of the way between two patients: the latents of the same part of both."""

from collections.abc import Generator
from typing import Any

import numpy as np

from ..core.engine import LatentsRequest
from ..core.errors import UserError
from ..core.planes import Plane, directions, range_mm
from ..core.volume import Geometry
from ..scene.slice_views import point_shown
from ..scene.volumes import volume_from_node
from .readiness import UNREAD, is_overridden, warnings_of
from .runs import Step
from .section import Panel


def latents_of_both(panel: Panel) -> Generator[Step, Any, tuple[np.ndarray, np.ndarray]]:
    """The latents (*shape) of the input's slice in the red view, and of the other patient's slice that lies as far
    between the ends of that image.

    Raises UserError for what no model takes, for doubts about the input that nobody overrode, and what the engine
    raises.
    """
    parameters, plane = panel.parameters, panel.manifest.preprocessing.plane
    panel.input.choose(parameters.inputVolume, panel.manifest)
    doubts = warnings_of(panel)
    if doubts and not is_overridden(panel):
        raise UserError(UNREAD)
    volumes = [volume_from_node(node) for node in (parameters.inputVolume, parameters.otherVolume)]
    shown = point_shown(parameters.inputVolume.GetScene())
    share = 0.5 if shown is None else _share(shown, volumes[0].geometry, plane)
    ends = []
    for number, volume in enumerate(volumes):
        low, high = range_mm(volume.geometry, plane)
        place = (low + share * (high - low),)
        request = LatentsRequest(panel.bundle, volume, place, panel.hardware, override=bool(doubts))
        result = yield Step(request, volume.source.name, number / 2, (number + 1) / 2)
        ends.append(result.latents[0])
    return ends[0], ends[1]


def _share(ras_mm: tuple[float, float, float], geometry: Geometry, plane: Plane) -> float:
    """How far a point in RAS mm lies from the first to the last slice of a grid, in [0, 1]."""
    low, high = range_mm(geometry, plane)
    return float(np.clip((directions(plane)[:, 2] @ np.array(ras_mm) - low) / (high - low), 0.0, 1.0))
