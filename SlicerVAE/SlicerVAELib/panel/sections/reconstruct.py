"""The widgets of SlicerVAEReconstruct.ui."""

from typing import Any

from ..labels import offer
from ..presenters.reconstruct import ReconstructPresenter, ReconstructState
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _

TIP = _("Reconstruct the input with the model; residual = input − reconstruction.")


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    return ReconstructSection(ui, lambda view: ReconstructPresenter(view, panel))


class ReconstructSection(SectionView[ReconstructPresenter]):
    """Draws ReconstructState."""

    def listen(self) -> None:
        """Connect the widgets."""
        ui, presenter, connect = self.ui, self.presenter, self.connections.connect
        connect(ui.reconstructButton, "clicked()", presenter.reconstruct)
        connect(ui.blendButton, "clicked()", presenter.blend)
        connect(ui.sideBySideButton, "clicked()", presenter.side_by_side)
        connect(ui.residualButton, "clicked()", presenter.show_residual)

    def draw(self, state: ReconstructState) -> None:
        """Show the state."""
        ui = self.ui
        offer(ui.reconstructButton, state.hint, TIP, is_idle=state.is_idle)
        for widget in (ui.blendSlider, ui.blendButton, ui.sideBySideButton):
            widget.setEnabled(state.has_reconstruction)
        ui.residualButton.setEnabled(state.has_residual)
