"""What the person reads when a run has ended."""

from collections.abc import Iterable

from ..core.errors import listed
from ..scene.nodes import VolumeNode
from .translation import tr as _


def done(nodes: Iterable[VolumeNode], seconds: float, notices: Iterable[str]) -> str:
    """Return what was written, in which time, and what the engine has to say about it."""
    written = listed(tuple(f"'{node.GetName()}'" for node in nodes))
    return "\n".join([_("Done in {seconds:.0f} s: {nodes}.").format(seconds=seconds, nodes=written), *notices])
