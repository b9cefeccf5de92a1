"""What the views of all sections have in common."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .connections import Connections
from .section import Section

LAYOUT_MS = 50
P = TypeVar("P", bound=Section)


class SectionView(Generic[P]):
    """Draws a presenter's state on the widgets of ``ui`` and tells it what is pressed.

    A subclass connects its widgets in ``listen`` and has a ``draw`` for the presenter's state.
    """

    def __init__(self, ui: Any, make_presenter: Callable[[Any], P]) -> None:
        self.ui = ui
        self.connections = Connections()
        self.presenter = make_presenter(self)
        self.listen()

    def listen(self) -> None:
        """Connect the widgets with the presenter."""
        raise NotImplementedError

    def once_laid_out(self, act: Callable[[], None]) -> None:
        """Call ``act`` when Qt has given the slice views of a new layout their sizes."""
        import qt

        qt.QTimer.singleShot(LAYOUT_MS, act)

    def refresh(self) -> None:
        """See ``Section``."""
        self.presenter.refresh()

    def scene_closes(self) -> None:
        """See ``Section``."""
        self.presenter.scene_closes()

    def close(self) -> None:
        """See ``Section``."""
        self.connections.disconnect_all()
        self.presenter.close()
