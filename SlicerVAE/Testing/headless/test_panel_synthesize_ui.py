"""The widgets of the section Synthesize: real ones, off-screen, on the real presenter and engine."""

import sys

import pytest

from SlicerVAELib.panel.latent_sliders import MOST
from Testing.headless.panel_helper import BlockingRunner, Packages, Parameters, make_panel

pytest.importorskip("torch")
pytest.importorskip("PySide6", reason="the widgets need the package PySide6-Essentials")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QAbstractButton

from Testing.headless import qt_stand_in


@pytest.fixture
def open_section(scene, engine, ct_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "qt", qt_stand_in.pythonqt())
    opened = []

    def make(packages=None):
        from SlicerVAELib.panel.sections.synthesize import open_section as really_open

        root = qt_stand_in.load_ui("SlicerVAESynthesize.ui")
        ui, panel = (
            qt_stand_in.children_of(root),
            make_panel(BlockingRunner(engine), Parameters(modelPath=ct_bundle), packages),
        )
        panel.open(really_open(ui, panel))
        opened.append((root, panel))
        return root, ui, panel

    yield make
    for root, panel in opened:
        panel.close()
        root.deleteLater()


def test_what_is_missing_is_said_by_the_buttons(open_section):
    _, ui, _ = open_section(Packages(("PyTorch",)))
    assert not ui.createSamplesButton.isEnabled() and ui.createSamplesButton.toolTip() == "Install PyTorch first."
    assert not ui.randomButton.isEnabled() and ui.findPathButton.toolTip() == "Install PyTorch first."


def test_sliders_appear_with_the_exploration_and_move_the_picture(open_section):
    _, ui, panel = open_section()
    assert ui.latentSlider0.isHidden() and ui.resetButton.text() == "Start"
    ui.resetButton.click()
    assert not any(getattr(ui, f"latentSlider{number}").isHidden() for number in range(MOST))
    assert ui.latentLabel3.text() == "Latent 3" and ui.resetButton.text() == "Reset"
    asked = len(panel.runs._runner.requests)
    ui.latentSlider3.setValue(1.5)
    (request,) = panel.runs._runner.requests[asked:]
    assert request.latents.reshape(-1)[3] == 1.5


def test_a_slider_that_the_program_moves_asks_nothing(open_section):
    _, ui, panel = open_section()
    ui.resetButton.click()
    asked = len(panel.runs._runner.requests)
    ui.randomButton.click()
    assert len(panel.runs._runner.requests) == asked + 1 and ui.latentSlider0.box.value() != 0


def test_a_slider_shows_values_beyond_its_ends(open_section):
    _, ui, panel = open_section()
    (section,) = panel._sections
    ui.resetButton.click()
    section.presenter.move(2, -4.25)
    assert ui.latentSlider2.box.value() == -4.25 and ui.latentSlider2.box.minimum() == -5.0
    section.presenter.move(2, 1.0)
    assert ui.latentSlider2.box.value() == 1.0


def test_a_traversal_runs_on_the_event_loop_until_its_button_is_released(open_section):
    _, ui, panel = open_section()
    ui.resetButton.click()
    asked = len(panel.runs._runner.requests)
    ui.traverseButton1.click()
    loop = QEventLoop()
    QTimer.singleShot(400, loop.quit)
    loop.exec()
    assert len(panel.runs._runner.requests) >= asked + 2 and ui.latentSlider1.box.value() != 0
    ui.traverseButton1.click()
    asked = len(panel.runs._runner.requests)
    QTimer.singleShot(250, loop.quit)
    loop.exec()
    assert len(panel.runs._runner.requests) == asked


@pytest.mark.parametrize("width", [350, 500])
def test_fits_the_module_panel(open_section, width):
    root, ui, _ = open_section()
    ui.resetButton.click()
    root.resize(width, 800)
    root.show()
    assert root.minimumSizeHint().width() <= width
    for button in root.findChildren(QAbstractButton):
        if button.isVisible() and button.text():
            assert button.fontMetrics().horizontalAdvance(button.text()) < button.width(), button.text()
            assert button.toolTip().endswith(".")
