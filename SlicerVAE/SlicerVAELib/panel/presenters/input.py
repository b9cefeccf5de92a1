"""The input: which volume and which of its slices, how it lies in the patient, which segment is which structure."""

import dataclasses
from typing import Protocol

from ...core.positions import orientation_in_words
from ..chosen_channels import ChannelMatch
from ..chosen_input import InputFacts, StructureMatch, slices_wanted
from ..readiness import are_confirmed, channels_of, confirm_structures, matches_of
from ..section import Panel
from ..translation import tr as _


@dataclasses.dataclass(frozen=True)
class InputState:
    """What the section shows; ``slices`` tells which the model will be shown."""

    orientation: str
    complaint: str
    slices: str
    can_choose_slices: bool
    matches: tuple[StructureMatch, ...]
    are_confirmed: bool
    can_confirm: bool
    channels: tuple[ChannelMatch, ...]


class InputView(Protocol):
    """The section's widgets."""

    def draw(self, state: InputState) -> None:
        """Show the state."""
        ...


class InputPresenter:
    """Tells what the input is; the choices themselves are in the parameter node."""

    def __init__(self, view: InputView, panel: Panel) -> None:
        self._view, self._panel = view, panel

    def refresh(self) -> None:
        """Draw the section."""
        panel, facts = self._panel, self._panel.input.facts
        matches = matches_of(panel)
        takes_slices = panel.model.manifest is None or panel.model.manifest.preprocessing.depth == "slices"
        self._view.draw(
            InputState(
                orientation=_described(facts) if facts is not None else "",
                complaint=panel.input.complaint,
                slices=self._slices(facts) if facts is not None else "",
                can_choose_slices=facts is not None and takes_slices,
                matches=matches,
                are_confirmed=bool(matches) and are_confirmed(panel),
                can_confirm=bool(matches) and all(match.segment for match in matches),
                channels=tuple(channels_of(panel)),
            )
        )

    def scene_closes(self) -> None:
        """Nothing of the scene is held."""

    def close(self) -> None:
        """Nothing is observed."""

    def choose_segment(self, structure: str, segment: str) -> None:
        """Take the person's word for which segment a structure is; empty for none."""
        parameters = self._panel.parameters
        if parameters is not None:
            parameters.structureChoices = {**parameters.structureChoices, structure: segment}

    def choose_channel(self, channel: str, key: str) -> None:
        """Take the person's word for which volume is a further image of the model; empty for none."""
        parameters = self._panel.parameters
        if parameters is not None:
            parameters.channelChoices = {**parameters.channelChoices, channel: key}

    def confirm(self, is_confirmed: bool) -> None:
        """Note that the person agrees to the table."""
        if self._panel.parameters is not None and is_confirmed != are_confirmed(self._panel):
            confirm_structures(self._panel, is_confirmed)

    def _slices(self, facts: InputFacts) -> str:
        wanted = slices_wanted(self._panel.parameters, facts)
        if wanted.is_whole(facts.geometry):
            return _("all {count} slices").format(count=facts.slice_count)
        count = wanted.last - wanted.first + 1
        if count == 1:
            return _("slice {number} of {count}").format(number=wanted.first + 1, count=facts.slice_count)
        return _("slices {first} to {last} of {count}").format(
            first=wanted.first + 1, last=wanted.last + 1, count=facts.slice_count
        )


def _described(facts: InputFacts) -> str:
    i, j, k = facts.geometry.shape[::-1]
    x, y, z = facts.geometry.spacing
    sentence = _("{kind}, {i} × {j} × {k} voxels of {x:.2f} × {y:.2f} × {z:.2f} mm; {orientation}")
    kind, orientation = facts.modality or _("unknown modality"), orientation_in_words(facts.geometry)
    return sentence.format(kind=kind, i=i, j=j, k=k, x=x, y=y, z=z, orientation=orientation)
