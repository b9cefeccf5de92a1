"""Whether the model can be run on the chosen input, and what the person agreed to."""

from ..core.errors import listed
from ..scene.nodes import VolumeNode
from .chosen_channels import ChannelMatch, chosen_nodes, matched_channels
from .chosen_input import StructureMatch, matched_structures
from .section import Panel
from .translation import tr as _

UNREAD = _("There are warnings; read them and tick 'Run anyway', or choose another input or model.")


def what_a_run_lacks(panel: Panel) -> str:
    """Return what has to be chosen before the model can be run on the input, as a sentence; empty when nothing is."""
    if panel.hint:
        return panel.hint
    if panel.parameters.inputVolume is None:
        return _("Choose an input volume.")
    if panel.input.complaint:
        return panel.input.complaint
    unchosen = [match.channel for match in channels_of(panel) if match.chosen is None]
    if unchosen:
        return _("Choose which volume is {name} in the section Input.").format(name=unchosen[0])
    matches = matches_of(panel)
    unmatched = tuple(f"'{match.structure}'" for match in matches if not match.segment)
    if unmatched:
        return _("Choose which segments are {names} in the section Input.").format(names=listed(unmatched))
    if matches and not are_confirmed(panel):
        return _("Confirm in the section Input which segment is which structure.")
    return UNREAD if warnings_of(panel) and not is_overridden(panel) else ""


def channels_of(panel: Panel) -> list[ChannelMatch]:
    """Return the volume of each further image that the model sees; nothing for a model of one image."""
    if panel.model.manifest is None:
        return []
    parameters = panel.parameters
    return matched_channels(
        panel.manifest.preprocessing.channels[1:], parameters.inputVolume, parameters.channelChoices
    )


def further_images(panel: Panel) -> dict[str, VolumeNode]:
    """Return the chosen volumes of the further images, by the model's names. Raises UserError for one that is not
    there."""
    return chosen_nodes(channels_of(panel), panel.parameters.inputVolume)


def matches_of(panel: Panel) -> tuple[StructureMatch, ...]:
    """Return the segment of each structure that the model sees; nothing for a model of images alone."""
    if panel.model.manifest is None:
        return ()
    wanted = panel.manifest.preprocessing.structures
    return matched_structures(wanted, panel.parameters.structures, panel.parameters.structureChoices)


def are_confirmed(panel: Panel) -> bool:
    """Return whether the person agreed to these matches of these segments."""
    return panel.parameters.confirmedStructures == _words(panel)


def confirm_structures(panel: Panel, is_confirmed: bool) -> None:
    """Note that the person agrees to the matches, or does not."""
    panel.parameters.confirmedStructures = _words(panel) if is_confirmed else ""


def warnings_of(panel: Panel) -> tuple[str, ...]:
    """Return what is doubtful about the chosen input for the chosen model."""
    return panel.input.facts.doubts if panel.input.facts is not None else ()


def is_overridden(panel: Panel) -> bool:
    """Return whether the person wants to run in spite of these very warnings."""
    return panel.parameters.overriddenWarnings == "\n".join(warnings_of(panel))


def override(panel: Panel, is_wanted: bool) -> None:
    """Note that the person wants to run in spite of the warnings, or does not."""
    panel.parameters.overriddenWarnings = "\n".join(warnings_of(panel)) if is_wanted else ""


def _words(panel: Panel) -> str:
    node = panel.parameters.structures
    pairs = [f"{match.structure} is {match.segment}" for match in matches_of(panel)]
    return "; ".join([node.GetID() if node is not None else "", *pairs])
