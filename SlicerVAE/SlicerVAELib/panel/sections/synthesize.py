"""The widgets of SlicerVAESynthesize.ui."""

import math
from typing import Any

from ...scene.nodes import VolumeNode
from ...scene.slice_views import show_in_red
from ..explorer import REACH, ExplorerState
from ..labels import offer, write
from ..latent_sliders import MOST
from ..presenters.synthesize import SynthesizePresenter, SynthesizeState
from ..section import Panel, Section
from ..section_view import SectionView
from ..translation import tr as _

SAMPLES_TIP = _("Add a volume of synthetic slices, drawn from the model.")
RESET_TIP = _("Go to the middle of what the model learned; the first time, begin to explore.")
PATH_TIP = _("Look up both patients in the model, to go from one to the other.")
TICK_MS = 80


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    return SynthesizeSection(ui, lambda view: SynthesizePresenter(view, panel))


class SynthesizeSection(SectionView[SynthesizePresenter]):
    """Draws SynthesizeState; a timer moves the slider that is traversed."""

    def listen(self) -> None:
        """Connect the widgets."""
        import qt

        ui, presenter, connect = self.ui, self.presenter, self.connections.connect
        connect(ui.createSamplesButton, "clicked()", presenter.create_samples)
        connect(ui.resetButton, "clicked()", presenter.reset)
        connect(ui.randomButton, "clicked()", presenter.random)
        connect(ui.keepPictureButton, "clicked()", presenter.keep_picture)
        connect(ui.findPathButton, "clicked()", presenter.find_path)
        connect(ui.keepPathButton, "clicked()", presenter.keep_path)
        connect(ui.pathSlider, "valueChanged(double)", presenter.go_along)
        for number in range(MOST):
            connect(self._slider(number), "valueChanged(double)", _Moved(presenter, number))
            connect(self._traverse_button(number), "toggled(bool)", _Traversed(presenter, number))
        self._timer, self._is_ticking = qt.QTimer(), False
        self._timer.setInterval(TICK_MS)
        connect(self._timer, "timeout()", presenter.tick)

    def draw(self, state: SynthesizeState) -> None:
        """Show the state."""
        ui, explorer = self.ui, state.explorer
        offer(ui.createSamplesButton, state.hint, SAMPLES_TIP, is_idle=state.is_idle)
        offer(ui.resetButton, state.hint, RESET_TIP, is_idle=state.is_idle)
        offer(ui.findPathButton, state.path_hint, PATH_TIP, is_idle=state.is_idle)
        ui.resetButton.setText(_("Reset") if explorer.sliders else _("Start"))
        for button in (ui.randomButton, ui.keepPictureButton):
            button.setEnabled(state.is_idle and bool(explorer.sliders))
        write(ui.explorerNoteLabel, explorer.note)
        self._draw_sliders(explorer)
        ui.keepPathButton.setEnabled(state.is_idle and explorer.has_path)
        ui.pathSlider.setEnabled(explorer.has_path)
        _set(ui.pathSlider, explorer.share)
        self._let_tick(explorer.traversed is not None)

    def show_picture(self, node: VolumeNode) -> None:
        """Bring a new picture into the red slice view, alone."""
        show_in_red(node.GetScene(), node)

    def close(self) -> None:
        """See ``Section``."""
        self._let_tick(False)
        super().close()

    def _let_tick(self, is_wanted: bool) -> None:
        # Starting a timer that runs would put its next tick off.
        if is_wanted != self._is_ticking:
            self._is_ticking = is_wanted
            (self._timer.start if is_wanted else self._timer.stop)()

    def _draw_sliders(self, explorer: ExplorerState) -> None:
        for number in range(MOST):
            slider, button = self._slider(number), self._traverse_button(number)
            label = getattr(self.ui, f"latentLabel{number}")
            is_there = number < len(explorer.sliders)
            for widget in (slider, button, label):
                widget.setVisible(is_there)
            if is_there:
                label.setText(explorer.sliders[number].name)
                for widget in (slider, label):
                    widget.setToolTip(explorer.sliders[number].tip)
                _reach(slider, explorer.sliders[number].value)
                _set(slider, explorer.sliders[number].value)
                blocked = button.blockSignals(True)
                button.setChecked(explorer.traversed == number)
                button.blockSignals(blocked)

    def _slider(self, number: int) -> Any:
        return getattr(self.ui, f"latentSlider{number}")

    def _traverse_button(self, number: int) -> Any:
        return getattr(self.ui, f"traverseButton{number}")


class _Moved:
    """The slot of one slider."""

    def __init__(self, presenter: SynthesizePresenter, number: int) -> None:
        self._presenter, self._number = presenter, number

    def __call__(self, value: float) -> None:
        self._presenter.move(self._number, value)


class _Traversed:
    """The slot of one slider's ▶."""

    def __init__(self, presenter: SynthesizePresenter, number: int) -> None:
        self._presenter, self._number = presenter, number

    def __call__(self, is_wanted: bool) -> None:
        self._presenter.traverse(self._number, is_wanted)


def _reach(slider: Any, value: float) -> None:
    """Widen a slider for a value beyond its ends, which a patient or a draw may have."""
    needed = float(math.ceil(max(REACH, abs(value))))
    if slider.property("maximum") < needed:
        blocked = slider.blockSignals(True)
        slider.setProperty("minimum", -needed)
        slider.setProperty("maximum", needed)
        slider.blockSignals(blocked)


def _set(slider: Any, value: float) -> None:
    """Show a value without telling that somebody moved the slider."""
    blocked = slider.blockSignals(True)
    slider.setValue(value)
    slider.blockSignals(blocked)
