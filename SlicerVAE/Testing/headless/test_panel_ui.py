"""The .ui files and the views that draw on them, with real widgets, off-screen."""

import ast
import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.progress import Progress
from SlicerVAELib.panel.connections import Connections
from SlicerVAELib.panel.section import SECTIONS

pytest.importorskip("PySide6", reason="the widgets need the package PySide6-Essentials")

from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget, QWidget

from SlicerVAELib.core.map_regions import MapRegions, Region
from SlicerVAELib.panel.frame import Frame
from Testing.headless import qt_stand_in
from Testing.headless.panel_helper import LateRunner, Packages, Parameters, make_panel

MODULE = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (MODULE / "Resources" / "UI").glob("*.ui"))
# Fields that no widget is bound to by its SlicerParameterName: paths have a connector of their own, what the person
# agreed to is kept in words, and lists that depend on the library are filled by the section.
NOT_BOUND = {
    "modelPath",
    "batchFolder",
    "batchOutput",
    "siteKeyPath",
    "structureChoices",
    "channelChoices",
    "confirmedStructures",
    "overriddenWarnings",
    *("libraryAddress", "filterSite", "filterLaterality", "filterTechnique", "filterStructures", "plottedStructure"),
}


def widgets_of(file: str) -> dict[str, ElementTree.Element]:
    tree = ElementTree.parse(MODULE / "Resources" / "UI" / file)
    return {widget.get("name"): widget for widget in tree.iter("widget")}


def view_file(file: str) -> Path:
    key = file.removeprefix("SlicerVAE").removesuffix(".ui").lower()
    return MODULE / "SlicerVAELib" / "panel" / (f"sections/{key}.py" if key else "frame.py")


def parameter_fields() -> set[str]:
    body = ast.parse((MODULE / "SlicerVAELib" / "panel" / "parameters.py").read_text()).body
    (node,) = (each for each in body if isinstance(each, ast.ClassDef))
    return {field.target.id for field in node.body if isinstance(field, ast.AnnAssign)}


def bound_fields() -> set[str]:
    return {
        prop.findtext("string")
        for file in FILES
        for widget in widgets_of(file).values()
        for prop in widget.findall("property[@name='SlicerParameterName']")
    }


@pytest.fixture(autouse=True)
def qt(monkeypatch):
    """What ``import qt`` gives in Slicer; the views are imported anew with it."""
    monkeypatch.setitem(sys.modules, "qt", qt_stand_in.pythonqt())
    for name in SECTIONS:
        monkeypatch.delitem(sys.modules, f"SlicerVAELib.panel.sections.{name.key}", raising=False)


class TestFiles:
    @pytest.mark.parametrize("file", FILES)
    def test_every_child_that_the_code_uses_is_there(self, file):
        used = set(re.findall(r"\bui\.([a-z]\w*)", view_file(file).read_text()))
        assert len(used) >= 3 and used <= set(widgets_of(file))

    @pytest.mark.parametrize("file", FILES)
    def test_root_is_named_as_its_file(self, file):
        root = next(iter(widgets_of(file).values()))
        assert (root.get("class"), root.get("name")) == ("qMRMLWidget", file.removesuffix(".ui"))

    @pytest.mark.parametrize("file", FILES)
    def test_every_selector_follows_the_scene(self, file):
        tree = ElementTree.parse(MODULE / "Resources" / "UI" / file)
        connected = {
            connection.findtext("receiver")
            for connection in tree.iter("connection")
            if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
            and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
        }
        selectors = {name for name, each in widgets_of(file).items() if each.get("class") == "qMRMLNodeComboBox"}
        assert connected == selectors

    @pytest.mark.parametrize("file", FILES)
    def test_every_custom_class_is_declared(self, file):
        tree = ElementTree.parse(MODULE / "Resources" / "UI" / file)
        declared = {each.findtext("class") for each in tree.iter("customwidget")}
        used = {each.get("class") for each in widgets_of(file).values()}
        assert {name for name in used if not name.startswith("Q")} <= declared

    @pytest.mark.parametrize("file", FILES)
    def test_no_list_makes_the_panel_as_wide_as_its_longest_entry(self, file):
        for name, each in widgets_of(file).items():
            if each.get("class") in ("QComboBox", "qMRMLNodeComboBox"):
                adjusts = each.findtext("property[@name='sizeAdjustPolicy']/enum", "").endswith("LengthWithIcon")
                policy = each.find("property[@name='sizePolicy']/sizepolicy")
                assert adjusts or (policy is not None and policy.get("hsizetype") == "Ignored"), name

    def test_every_parameter_has_its_widget(self):
        assert bound_fields() == parameter_fields() - NOT_BOUND

    def test_every_section_has_its_header(self):
        headers = {
            name for name, each in widgets_of("SlicerVAE.ui").items() if each.get("class") == "ctkCollapsibleButton"
        }
        assert headers == {name.header for name in SECTIONS}


class Opened:
    """The whole panel on real widgets, with a runner that waits."""

    def __init__(self, parameters: Parameters, packages: Packages | None = None) -> None:
        self.root = qt_stand_in.load_ui()
        self.ui = qt_stand_in.children_of(self.root)
        self.sections: dict[str, types.SimpleNamespace] = {}
        self.roots: dict[str, QWidget] = {}
        self.runner = LateRunner(None)
        self.frame = Frame(self.ui, self._load)
        self.panel = make_panel(self.runner, parameters, packages)
        self.panel._draw_strip = self.panel.runs._progressed = self.frame.draw_strip
        self.frame.listen(self.panel)

    def _load(self, name):
        root = self.roots[name.key] = qt_stand_in.load_ui(name.ui_file)
        self.root.findChild(QWidget, name.header).layout().addWidget(root)
        self.sections[name.key] = qt_stand_in.children_of(root)
        return self.sections[name.key]

    def expand(self, *keys: str) -> None:
        for key in keys:
            self.root.findChild(QWidget, f"{key}Section").expand()


@pytest.fixture
def opened(scene):
    made = []

    def make(packages=None, **values):
        made.append(Opened(Parameters(**values), packages))
        return made[-1]

    yield make
    for each in made:
        each.frame.close()
        each.panel.close()
        each.root.deleteLater()


@pytest.fixture
def ct(add_volume):
    array = np.random.default_rng(0).integers(-1000, 600, (4, 30, 40), dtype=np.int16)
    node = add_volume(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")
    node.CreateDefaultDisplayNodes()
    return node


class TestFrame:
    def test_a_section_is_loaded_when_it_is_first_expanded(self, opened):
        panel = opened()
        assert set(panel.sections) == {"model", "input"}
        panel.expand("reconstruct")
        panel.expand("reconstruct")
        assert set(panel.sections) == {"model", "input", "reconstruct"}

    def test_run_strip(self, opened, ct, ct_bundle):
        panel = opened(modelPath=ct_bundle, inputVolume=ct)
        panel.expand("reconstruct")
        ui, button = panel.ui, panel.sections["reconstruct"].reconstructButton
        assert ui.progressBar.isHidden() and ui.cancelButton.isHidden() and ui.statusLabel.isHidden()
        assert "does not say what it is" in ui.warningsLabel.text() and not button.isEnabled()
        assert "Run anyway" in button.toolTip()
        ui.overrideCheckBox.click()
        assert button.isEnabled() and "residual" in button.toolTip()
        button.click()
        assert len(panel.runner.requests) == 1 and not button.isEnabled()
        assert (ui.progressBar.minimum(), ui.progressBar.maximum()) == (0, 0)  # Qt's sign for an unknown end
        panel.panel.runs.progressed(Progress(0.425, "reconstructing", 3.0))
        assert ui.progressBar.value() / ui.progressBar.maximum() == 0.425 and ui.cancelButton.isEnabled()
        assert ui.statusLabel.text() == "Reconstructing, about 3 s left"
        ui.cancelButton.click()
        assert not ui.cancelButton.isEnabled() and not ui.cancelButton.isHidden()

    def test_a_closed_frame_is_silent(self, opened, ct, ct_bundle):
        panel = opened(modelPath=ct_bundle, inputVolume=ct)
        panel.frame.close()
        panel.ui.overrideCheckBox.click()
        assert panel.panel.parameters.overriddenWarnings == ""

    def test_a_signal_that_does_not_exist_is_an_error(self, opened):
        with pytest.raises(ValueError, match="pressedTwice"):
            Connections().connect(opened().ui.cancelButton, "pressedTwice()", print)


class TestModel:
    def test_card_and_complaint(self, opened, ct_bundle, tmp_path):
        panel = opened(modelPath=ct_bundle)
        ui = panel.sections["model"]
        assert "tiny 1.0" in ui.cardLabel.text() and ui.installButton.isHidden() and not ui.cardLabel.styleSheet()
        panel.panel.parameters.modelPath = tmp_path
        assert "is not a model bundle" in ui.cardLabel.text() and ui.cardLabel.styleSheet()

    def test_only_a_model_is_remembered(self, opened, ct_bundle, tmp_path):
        edit = opened().sections["model"].modelPathEdit
        edit.currentPathChanged.emit(str(tmp_path))
        assert edit.remembered == []
        edit.currentPathChanged.emit(str(ct_bundle))
        assert len(edit.remembered) == 1

    def test_install(self, opened):
        packages = Packages(["PyTorch"])
        ui = opened(packages).sections["model"]
        assert "PyTorch" in ui.missingLabel.text() and not ui.installFolderButton.isHidden()
        ui.installButton.click()
        assert packages.installs == 1 and ui.installButton.isHidden()


class TestInput:
    def test_structures_are_hidden_where_the_model_sees_none(self, opened, ct, ct_bundle):
        ui = opened(modelPath=ct_bundle, inputVolume=ct).sections["input"]
        assert ui.structuresTable.isHidden() and ui.structuresSelector.isHidden()
        assert "axial" in ui.orientationLabel.text() and ui.slicesLabel.text() == "all 4 slices"

    def test_a_segment_is_chosen_in_the_table(self, opened):
        panel = opened()
        from SlicerVAELib.panel.chosen_input import StructureMatch
        from SlicerVAELib.panel.presenters.input import InputState

        view = panel.panel._sections[1]
        matches = (StructureMatch("Heart", "Herz", ("Herz", "x")), StructureMatch("Lung_L", "", ("Herz", "x"), "Two."))
        view.draw(InputState("", "", "", False, matches, False, False, ()))
        table = panel.roots["input"].findChild(QTableWidget, "structuresTable")
        assert [table.cellWidget(row, 1).currentText() for row in range(2)] == ["Herz", "choose…"]
        assert table.item(1, 0).toolTip() == "Two."
        table.cellWidget(1, 1).activated.emit(2)
        qt_stand_in.application().processEvents()
        assert panel.panel.parameters.structureChoices == {"Lung_L": "x"}
        view.close()

    def test_a_further_image_is_chosen_in_the_table(self, opened):
        panel = opened()
        from SlicerVAELib.panel.chosen_channels import ChannelMatch, Offered
        from SlicerVAELib.panel.presenters.input import InputState

        view, table = panel.panel._sections[1], panel.roots["input"].findChild(QTableWidget, "channelsTable")
        assert table.isHidden()
        offered = (Offered("n1 a", "a"), Offered("n2 b", "b"))
        channels = (ChannelMatch("T1", offered[1], offered), ChannelMatch("T2", None, offered))
        view.draw(InputState("", "", "", False, (), False, False, channels))
        assert not table.isHidden()
        assert [table.cellWidget(row, 1).currentText() for row in range(2)] == ["b", "choose…"]
        table.cellWidget(1, 1).activated.emit(1)
        qt_stand_in.application().processEvents()
        assert panel.panel.parameters.channelChoices == {"T2": "n1 a"}
        view.close()


class TestAnomalies:
    def test_regions(self, opened):
        panel = opened()
        panel.expand("anomalies")
        view, ui = panel.panel._sections[2], panel.sections["anomalies"]
        from SlicerVAELib.panel.presenters.anomalies import AnomaliesState, _row

        rows = tuple(_row(Region(n, 9.0 - n, 4.0, 1.5, (34.0, -12.0, 120.0))) for n in (1, 2))
        view.draw(AnomaliesState("", True, True, "healthy z-score", "2 regions.", rows))
        table = panel.roots["anomalies"].findChild(QTableWidget, "regionTable")
        cells = [table.item(0, column).text() for column in range(table.columnCount())]
        assert cells == ["8.0", "4.0", "1.50", "34, -12, 120", "34 mm left, 12 mm anterior, 120 mm superior"]
        assert ui.alarmLevelSlider.property("suffix") == " z"
        jumped = []
        view.presenter.jump_to = jumped.append
        table.cellClicked.emit(1, 0)
        assert jumped == [1] and MapRegions.none().regions == ()


class TestOnScreen:
    @pytest.fixture
    def whole(self, opened, ct, ct_bundle):
        panel = opened(Packages(["PyTorch", "safetensors"]), modelPath=ct_bundle, inputVolume=ct)
        panel.expand(*(name.key for name in SECTIONS if (MODULE / "Resources" / "UI" / name.ui_file).exists()))
        return panel

    def test_every_control_has_a_tooltip(self, whole):
        kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget)
        kinds += (qt_stand_in.ctkPathLineEdit, qt_stand_in.ctkSliderWidget)
        controls = [
            widget
            for widget in whole.root.findChildren(QWidget)
            if isinstance(widget, kinds) and widget.objectName() and not widget.objectName().startswith("qt_")
        ]
        assert len(controls) >= 35
        assert [widget.objectName() for widget in controls if not widget.toolTip().endswith(".")] == []

    def test_quantities_have_units(self, whole):
        for section, name, unit in (
            ("reconstruct", "reconstructionSelector", "HU"),
            ("reconstruct", "residualSelector", "HU"),
            ("anomalies", "regionTable", "cm³"),
            ("anomalies", "smallestRegionSpinBox", "cm³"),
            ("anomalies", "regionTable", "LPS mm"),
        ):
            assert unit in getattr(whole.sections[section], name).toolTip()

    @pytest.mark.parametrize("width", [350, 500])
    def test_fits_the_module_panel(self, whole, width, tmp_path):
        """The pictures are for looking at: nothing cut off, labels aligned, read from top to bottom."""
        assert whole.root.minimumSizeHint().width() <= width
        whole.root.resize(width, whole.root.heightForWidth(width) if whole.root.hasHeightForWidth() else 1600)
        whole.root.show()
        qt_stand_in.application().processEvents()
        whole.root.adjustSize()
        whole.root.resize(width, whole.root.height())
        qt_stand_in.application().processEvents()
        for button in whole.root.findChildren(QAbstractButton):
            if button.isVisible() and button.text():
                assert button.fontMetrics().horizontalAdvance(button.text()) < button.width(), button.text()
        assert whole.root.grab().save(str(tmp_path / f"panel-{width}.png"))
        assert (tmp_path / f"panel-{width}.png").stat().st_size > 10_000
