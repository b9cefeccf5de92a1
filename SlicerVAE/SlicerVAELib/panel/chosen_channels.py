"""Which volume of the scene is which further image of a model that sees several, such as T1 and T2 beside FLAIR."""

import dataclasses
import re
from collections.abc import Mapping

import slicer.util
import vtk

from ..core.errors import UserError
from ..scene.nodes import VolumeNode
from ..scene.volumes import checked_image
from .translation import tr as _


@dataclasses.dataclass(frozen=True)
class Offered:
    """A volume that can be chosen. ``key`` is how the parameter node keeps it: by its ID and its name, for another node
    may have the ID in another scene."""

    key: str
    name: str


@dataclasses.dataclass(frozen=True)
class ChannelMatch:
    """One of the model's further images and the volume that it is, None while nobody said which."""

    channel: str
    chosen: Offered | None
    offered: tuple[Offered, ...]


def matched_channels(wanted: tuple[str, ...], node: VolumeNode | None, chosen: Mapping[str, str]) -> list[ChannelMatch]:
    """Match the model's further images with volumes of the input's scene: by what the person chose ("" for none), else
    by the one volume whose name has the image's name among its words."""
    if node is None or not wanted:
        return [ChannelMatch(channel, None, ()) for channel in wanted]
    offered = tuple(Offered(_key(each), each.GetName()) for each in _images(node))
    by_key = {each.key: each for each in offered}
    matches = []
    for channel in wanted:
        told = chosen.get(channel)
        one = by_key.get(told) if told is not None else _suggestion(channel, offered)
        matches.append(ChannelMatch(channel, one, offered))
    return matches


def chosen_nodes(matches: list[ChannelMatch], node: VolumeNode) -> dict[str, VolumeNode]:
    """The chosen volumes by the model's names. Raises UserError for one that is not chosen or gone."""
    if not matches:
        return {}
    by_key = {_key(each): each for each in _images(node)}
    nodes = {}
    for match in matches:
        if match.chosen is None or match.chosen.key not in by_key:
            raise UserError(_("Choose which volume is {name} in the section Input.").format(name=match.channel))
        nodes[match.channel] = by_key[match.chosen.key]
    return nodes


def what_may_be_chosen(node: VolumeNode | None) -> tuple[vtk.vtkObject, ...]:
    """Return what changes with what there is to choose from: the input's scene, and all its volumes."""
    return () if node is None else (node.GetScene(), *_volumes(node))


def _images(node: VolumeNode) -> list[VolumeNode]:
    """The images of the scene besides this one."""
    return [other for other in _volumes(node) if other is not node and _is_image(other)]


def _volumes(node: VolumeNode) -> list[VolumeNode]:
    volumes: list[VolumeNode] = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", node.GetScene())
    return volumes


def _is_image(node: VolumeNode) -> bool:
    try:
        checked_image(node)
    except UserError:
        return False
    return True


def _key(node: VolumeNode) -> str:
    return f"{node.GetID()} {node.GetName()}"


def _suggestion(channel: str, offered: tuple[Offered, ...]) -> Offered | None:
    # "w" is for "weighted", as in T1W.
    whole = re.compile(rf"(?<![^\W_]){re.escape(channel)}w?(?![^\W_])", re.IGNORECASE)
    found = [each for each in offered if whole.search(each.name)]
    return found[0] if len(found) == 1 else None
