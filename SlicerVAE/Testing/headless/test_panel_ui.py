"""The .ui file and the view that draws on it, with real widgets, off-screen."""

import ast
import dataclasses
import re
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import slicer

from SlicerVAELib.panel.connections import Connections
from SlicerVAELib.panel.state import Message, PanelState, RunState
from SlicerVAELib.scene.jobs import MapNodes

pytest.importorskip("PySide6", reason="the widgets need the package PySide6-Essentials")

from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QWidget

from SlicerVAELib.panel.view import PanelView
from Testing.headless import qt_stand_in

MODULE = Path(__file__).resolve().parents[2]
IDLE = PanelState(RunState.IDLE, Message("tiny 1.0: CT"), Message(), "", "", False, None)


@pytest.fixture
def root():
    root = qt_stand_in.load_ui()
    yield root
    root.deleteLater()


@pytest.fixture
def ui(root):
    return qt_stand_in.children_of(root)


def classes_in_ui() -> dict[str, str]:
    tree = ElementTree.parse(qt_stand_in.UI_FILE)
    return {widget.get("name"): widget.get("class") for widget in tree.iter("widget")}


def parameters_in_ui() -> dict[str, str]:
    tree = ElementTree.parse(qt_stand_in.UI_FILE)
    found = {}
    for widget in tree.iter("widget"):
        for prop in widget.findall("property[@name='SlicerParameterName']"):
            found[prop.findtext("string")] = widget.get("name")
    return found


def parameter_node_fields() -> set[str]:
    (node,) = (
        statement
        for statement in ast.parse((MODULE / "SlicerVAE.py").read_text()).body
        if isinstance(statement, ast.ClassDef) and statement.name == "SlicerVAEParameterNode"
    )
    return {field.target.id for field in node.body if isinstance(field, ast.AnnAssign)}


class TestFile:
    def test_every_child_that_the_code_uses_is_there(self):
        code = "".join(path.read_text() for path in [*MODULE.glob("SlicerVAELib/panel/*.py"), MODULE / "SlicerVAE.py"])
        used = set(re.findall(r"\b_?ui\.([a-z]\w*)", code))
        assert len(used) >= 8 and used <= set(classes_in_ui())

    def test_classes_are_what_the_code_expects(self):
        classes = classes_in_ui()
        assert classes["SlicerVAE"] == "qMRMLWidget"
        assert classes["modelPathEdit"] == "ctkPathLineEdit"
        for name, kind in {
            "Selector": "qMRMLNodeComboBox",
            "Button": ("QPushButton", "ctkCollapsibleButton"),
            "SpinBox": "QSpinBox",
            "Label": "QLabel",
            "Bar": "QProgressBar",
        }.items():
            matching = {cls for child, cls in classes.items() if child.endswith(name)}
            assert matching and matching <= ({kind} if isinstance(kind, str) else set(kind)), name

    def test_every_parameter_has_its_widget(self):
        """modelPath is bound by the panel's own connector, all others by their SlicerParameterName."""
        assert set(parameters_in_ui()) == parameter_node_fields() - {"modelPath"}

    def test_every_selector_follows_the_scene(self):
        tree = ElementTree.parse(qt_stand_in.UI_FILE)
        connected = {
            connection.findtext("receiver")
            for connection in tree.iter("connection")
            if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
            and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
        }
        selectors = {name for name, cls in classes_in_ui().items() if cls == "qMRMLNodeComboBox"}
        assert connected == selectors and len(selectors) == 4

    def test_outputs_can_be_none_made_and_renamed_and_the_input_can_not_be_made(self, root):
        for name in ("reconstructionSelector", "residualSelector", "anomalySelector", "inputSelector"):
            selector, is_output = root.findChild(QWidget, name), name != "inputSelector"
            assert selector.property("nodeTypes") == ["vtkMRMLScalarVolumeNode"]
            assert selector.property("showChildNodeTypes") is False
            for ability in ("noneEnabled", "addEnabled", "renameEnabled"):
                assert selector.property(ability) is is_output, ability


class TestOnScreen:
    def test_every_control_has_a_tooltip(self, root):
        controls = [
            widget
            for widget in root.findChildren(QWidget)
            if isinstance(widget, QAbstractButton | QAbstractSpinBox | QComboBox | qt_stand_in.ctkPathLineEdit)
            and widget.objectName()
            and not widget.objectName().startswith("qt_")
        ]
        assert len(controls) >= 12
        assert [widget.objectName() for widget in controls if not widget.toolTip().endswith(".")] == []

    def test_quantities_have_units(self, root):
        units = {"reconstruction": "HU", "residual": "HU", "anomaly": "standard deviations"}
        for name, unit in units.items():
            assert unit in root.findChild(QWidget, f"{name}Selector").toolTip()

    @pytest.mark.parametrize("width", [350, 500])
    def test_fits_the_module_panel(self, root, ui, width):
        view = PanelView(ui)
        long = "a sentence of some length about one thing or another, " * 4
        view.draw(dataclasses.replace(IDLE, model=Message(long), status=Message(long, True), needs_install=True))
        assert root.minimumSizeHint().width() <= width
        root.resize(width, 700)
        root.show()
        for button in root.findChildren(QAbstractButton):
            if button.isVisible() and button.text():
                assert button.fontMetrics().horizontalAdvance(button.text()) < button.width(), button.text()

    def test_sentences_wrap(self, root):
        assert root.findChild(QWidget, "statusLabel").wordWrap() and root.findChild(QWidget, "modelLabel").wordWrap()


class TestView:
    def test_idle(self, ui):
        PanelView(ui).draw(IDLE)
        assert ui.applyButton.isEnabled() and ui.createSamplesButton.isEnabled()
        assert ui.progressBar.isHidden() and ui.cancelButton.isHidden() and ui.installButton.isHidden()
        assert ui.modelLabel.text() == "tiny 1.0: CT" and ui.statusLabel.isHidden()

    def test_what_is_missing_is_said_by_the_button(self, ui):
        view = PanelView(ui)
        view.draw(dataclasses.replace(IDLE, apply_hint="Choose an input volume."))
        assert not ui.applyButton.isEnabled() and ui.applyButton.toolTip() == "Choose an input volume."
        assert ui.createSamplesButton.isEnabled()
        view.draw(IDLE)
        assert "Reconstruct" in ui.applyButton.toolTip()

    def test_running(self, ui):
        view = PanelView(ui)
        view.draw(dataclasses.replace(IDLE, run=RunState.RUNNING, status=Message("Starting…")))
        assert (ui.progressBar.minimum(), ui.progressBar.maximum()) == (0, 0)  # Qt's sign for an unknown end
        view.draw(dataclasses.replace(IDLE, run=RunState.RUNNING, fraction=0.425))
        assert ui.progressBar.value() / ui.progressBar.maximum() == 0.425
        assert not ui.progressBar.isHidden() and ui.cancelButton.isEnabled()
        assert not ui.applyButton.isEnabled() and not ui.createSamplesButton.isEnabled()
        view.draw(dataclasses.replace(IDLE, run=RunState.CANCELLING))
        assert not ui.cancelButton.isEnabled() and not ui.cancelButton.isHidden()

    def test_errors_stand_out_and_do_not_stick(self, ui):
        view = PanelView(ui)
        view.draw(dataclasses.replace(IDLE, status=Message("It broke.", is_error=True)))
        assert ui.statusLabel.text() == "It broke." and ui.statusLabel.styleSheet()
        view.draw(dataclasses.replace(IDLE, status=Message("Done.")))
        assert not ui.statusLabel.styleSheet()

    def test_missing_packages(self, ui):
        view = PanelView(ui)
        view.draw(dataclasses.replace(IDLE, needs_install=True, apply_hint="Install PyTorch first."))
        assert not ui.installButton.isHidden() and ui.installButton.isEnabled() and not ui.applyButton.isEnabled()

    def test_presses_reach_the_presenter_until_the_view_is_closed(self, ui):
        pressed = []
        actions = ("apply", "cancel", "install", "create_samples")
        presenter = types.SimpleNamespace(**{name: lambda name=name: pressed.append(name) for name in actions})
        view = PanelView(ui)
        view.draw(dataclasses.replace(IDLE, run=RunState.RUNNING))
        view.listen(presenter)
        for button in (ui.applyButton, ui.cancelButton, ui.installButton, ui.createSamplesButton):
            button.setEnabled(True)
            button.click()
        assert pressed == list(actions)
        assert len(ui.modelPathEdit.remembered) == 2  # the model is offered again next time
        view.close()
        ui.applyButton.click()
        assert pressed == list(actions)

    def test_a_signal_that_does_not_exist_is_an_error(self, ui):
        with pytest.raises(ValueError, match="pressedTwice"):
            Connections().connect(ui.applyButton, "pressedTwice()", print)


def test_results_come_into_the_slice_views(scene, ui, add_volume, monkeypatch):
    monkeypatch.setattr(slicer, "app", types.SimpleNamespace(layoutManager=lambda: None), raising=False)
    viewer = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    ct, anomaly, samples = (add_volume(np.zeros((2, 3, 4), np.float32), name=name) for name in "abc")
    view = PanelView(ui)
    view.show_maps(ct, MapNodes(anomaly=anomaly))
    assert (viewer.GetBackgroundVolumeID(), viewer.GetForegroundVolumeID()) == (ct.GetID(), anomaly.GetID())
    assert viewer.GetForegroundOpacity() == 0.5
    view.show_samples(samples)
    assert (viewer.GetBackgroundVolumeID(), viewer.GetForegroundVolumeID()) == (samples.GetID(), None)
