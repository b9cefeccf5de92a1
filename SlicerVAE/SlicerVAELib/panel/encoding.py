"""What the model is shown of the chosen input when its slices are encoded for a library."""

import dataclasses

from ..core.engine import EncodeRequest
from ..core.errors import UserError
from .maps_run import chosen_masks
from .readiness import UNREAD, is_overridden, matches_of
from .section import Panel


def as_chosen(panel: Panel, request: EncodeRequest) -> EncodeRequest:
    """The request with the model's structures from the segments that the person chose, and with what was overridden.

    Raises UserError for an input that no model takes, and for doubts about it that nobody overrode.
    """
    panel.input.choose(panel.parameters.inputVolume, panel.manifest)
    if (facts := panel.input.facts) is None:
        raise UserError(panel.input.complaint)
    if facts.doubts and not is_overridden(panel):
        raise UserError(UNREAD)
    volume = request.volume
    if panel.manifest.preprocessing.structures:
        segments = {match.structure: match.segment for match in matches_of(panel)}
        volume = volume.replace(masks=chosen_masks(volume.masks, segments))
    return dataclasses.replace(request, volume=volume, override=bool(facts.doubts))
