"""What the slice views show, fitted once the window has given them the sizes of a new layout."""

from collections.abc import Callable
from typing import Protocol

from ..scene import slice_views
from ..scene.nodes import VolumeNode


class Layout(Protocol):
    """Whoever knows the window's layout."""

    def once_laid_out(self, act: Callable[[], None]) -> None:
        """Call ``act`` when the slice views have the sizes of a new layout."""
        ...


def show_over(layout: Layout, background: VolumeNode, foreground: VolumeNode, opacity: float) -> None:
    """Show one volume over another in all slice views, which ends side by side."""
    if slice_views.show_over(background.GetScene(), background, foreground, opacity):
        layout.once_laid_out(lambda: _fit(background))


def show_side_by_side(layout: Layout, left: VolumeNode, right: VolumeNode) -> None:
    """Show two volumes in two linked views of the same orientation and place."""
    slice_views.show_side_by_side(left.GetScene(), left, right)
    layout.once_laid_out(lambda: _fit(left))


def _fit(volume: VolumeNode) -> None:
    if (scene := volume.GetScene()) is not None:  # it may have been closed meanwhile
        slice_views.fit(scene, volume)
