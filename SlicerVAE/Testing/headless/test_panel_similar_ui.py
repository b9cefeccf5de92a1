"""The widgets of the section "Similar patients", off-screen: what they show, what they tell the presenter."""

import dataclasses
import sys

import pytest

pytest.importorskip("PySide6", reason="the widgets need the package PySide6-Essentials")

from PySide6.QtWidgets import QAbstractButton, QComboBox, QListWidget, QTableWidget

from SlicerVAELib.library.thumbnails import _grey_png
from SlicerVAELib.panel.similar_rows import PatientRow, TableRow
from Testing.headless import qt_stand_in
from Testing.headless.panel_helper import LateRunner, Packages, Parameters, make_panel

MODULES = ("sections.similar", "offered_texts", "recent_libraries", "table_filling", "presenters.similar")
ROW = PatientRow(
    pseudonym="P-ABCDEFGHIJKLMNOP",
    picture=b"",
    closer_than="97 %",
    divergence="12.3",
    geometry="4.2 mm",
    level="35 mm S of the lungs' middle",
    slices="40 of 40",
    plan="left lung, VMAT, 60 Gy in 30",
    structures="6: External, Lung_L, Lung_R, Heart, SpinalCord, PTV",
    doses="PTV D95 57.1, Heart 5.2, Lung_L 11.8",
    meaning="Closer than 97 % of pairs of different patients; repeat scans of one patient: median 10.1, this 12.3.",
)


@pytest.fixture
def qt(monkeypatch):
    """What ``import qt`` gives in Slicer; the views are imported anew with it."""
    module = qt_stand_in.pythonqt()
    monkeypatch.setitem(sys.modules, "qt", module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, f"SlicerVAELib.panel.{name}", raising=False)
    return module


class Section:
    def __init__(self, parameters: Parameters) -> None:
        from SlicerVAELib.panel.presenters.similar import SimilarPresenter
        from SlicerVAELib.panel.sections.similar import SimilarSection

        self.root = qt_stand_in.load_ui("SlicerVAESimilar.ui")
        self.ui = qt_stand_in.children_of(self.root)
        self.panel = make_panel(LateRunner(None), parameters)
        self.told: list[tuple] = []
        telling = {
            name: lambda presenter, *given, name=name: self.told.append((name, *given))
            for name in ("load", "reveal", "choose_library", "create_library")
        }
        told = type("Told", (SimilarPresenter,), telling)
        self.view = SimilarSection(self.ui, lambda view: told(view, self.panel, Packages(), Packages()))
        self.panel.open(self.view)
        self.state = self._state()

    def _state(self):
        drawn = []
        draw, self.view.draw = self.view.draw, drawn.append
        self.panel.refresh()
        self.view.draw = draw
        return drawn[-1]

    def find(self, kind, name):
        return self.root.findChild(kind, name)

    def draw(self, **parts) -> None:
        self.state = dataclasses.replace(self.state, **parts)
        self.view.draw(self.state)


@pytest.fixture
def section(qt, scene):
    made = Section(Parameters())
    yield made
    made.view.close()
    made.panel.close()
    made.root.deleteLater()


def with_rows(section, **changes):
    row = dataclasses.replace(ROW, **changes)
    section.draw(
        finding=dataclasses.replace(section.state.finding, rows=(row, row), reveal_hint="", summary="…", identity="")
    )


def test_at_first_it_asks_for_a_library(section):
    assert section.ui.findSimilarButton.toolTip() == "Choose a patient library."
    assert not section.ui.findSimilarButton.isEnabled() and not section.ui.addButton.isEnabled()
    for name in ("patientTable", "loadButton", "dosesGroup", "contoursGroup", "installButton", "identityLabel"):
        assert getattr(section.ui, name).isHidden()


def test_the_table_shows_pictures_and_tells_who_was_clicked(section):
    import numpy as np

    with_rows(section, picture=_grey_png(np.full((128, 128), 200, np.uint8)))
    table = section.find(QTableWidget, "patientTable")
    cells = [table.item(0, column).text() for column in range(table.columnCount())]
    assert cells == [
        ROW.pseudonym,
        "97 %",
        "12.3",
        "4.2 mm",
        ROW.level,
        "40 of 40",
        ROW.plan,
        ROW.structures,
        ROW.doses,
    ]
    picture = table.item(0, 0).icon().pixmap(48, 48).toImage()
    assert picture.width() == 48 and picture.pixelColor(20, 20).red() == 200
    assert table.rowHeight(0) > 48 and "repeat scans" in table.item(0, 1).toolTip()
    table.cellDoubleClicked.emit(1, 3)
    table.setCurrentCell(0, 0)
    section.ui.revealButton.click()
    assert section.told == [("load", 1), ("reveal", 0)]
    with_rows(section)
    assert section.find(QTableWidget, "patientTable").item(0, 0).icon().isNull()


def test_marked_lines_are_red(section):
    rows = (TableRow(("Heart", "mean", "5.0", "4.0 – 6.0", "9.1", "above", "8"), True),)
    rows += (TableRow(("Lung_L", "mean", "5.0", "4.0 – 6.0", "5.1", "within", "8"), False),)
    section.draw(doses=dataclasses.replace(section.state.doses, rows=rows))
    table = section.find(QTableWidget, "doseTable")
    assert table.item(0, 5).text() == "above" and table.item(0, 5).foreground().color().name() == "#d9534f"
    assert table.item(1, 5).foreground().color().name() != "#d9534f"


def test_filters_are_offered_and_kept(section):
    library = dataclasses.replace(section.state.library, sites=("breast", "lung"), structures=("Heart", "PTV"))
    section.draw(library=library)
    combo = section.find(QComboBox, "siteComboBox")
    assert [combo.itemText(n) for n in range(combo.count())] == ["any", "breast", "lung"]
    combo.setCurrentIndex(2)
    combo.activated.emit(2)
    assert section.panel.parameters.filterSite == "lung"
    section.draw(
        library=library, filters=dataclasses.replace(section.state.filters, site="gone", structures=("Liver",))
    )
    assert combo.currentText() == "gone", "what is chosen is shown even where the library has none of it"
    checks = section.find(QListWidget, "structuresList")
    states = {checks.item(n).text(): checks.item(n).checkState().name for n in range(checks.count())}
    assert states == {"Heart": "Unchecked", "PTV": "Unchecked", "Liver": "Checked"}
    from PySide6.QtCore import Qt

    checks.item(1).setCheckState(Qt.CheckState.Checked)
    assert section.panel.parameters.filterStructures == ["PTV", "Liver"]


def test_an_address_is_taken_when_it_is_finished(section, qt):
    edit = section.ui.libraryEdit
    edit.editingFinished.emit()
    assert section.told == []
    edit.setText("postgresql://me:secret@host/plans")
    edit.textEdited.emit("postgresql://me:secret@host/plans")
    edit.editingFinished.emit()
    assert section.told == [("choose_library", "postgresql://me:secret@host/plans")]
    section.draw(library=dataclasses.replace(section.state.library, address="postgresql://me@host/plans"))
    assert edit.text() == "postgresql://me@host/plans"
    qt.QFileDialog.file = "/plans/new.sqlite"
    section.ui.libraryBrowseButton.click()
    assert section.told[-1] == ("choose_library", "/plans/new.sqlite")


def test_libraries_that_could_be_opened_are_remembered(section, qt):
    opened = dataclasses.replace(section.state.library, is_known=True)
    for address in ("/a.sqlite", "/b.sqlite", "/a.sqlite"):
        section.draw(library=dataclasses.replace(opened, address=address))
    combo = section.find(QComboBox, "recentComboBox")
    assert [combo.itemText(n) for n in range(combo.count())] == ["choose…", "/a.sqlite", "/b.sqlite"]
    combo.activated.emit(2)
    assert section.told == [("choose_library", "/b.sqlite")]


def test_the_reason_is_asked_for(section, qt):
    qt.QInputDialog.text = "  tumour board "
    assert section.view.ask_reason("P-X") == "tumour board"
    qt.QInputDialog.text = ""
    assert section.view.ask_reason("P-X") == ""


def test_only_doses_are_offered_as_the_dose(section):
    assert section.ui.doseSelector.offered == ("vtkMRMLScalarVolumeNode", "DicomRtImport.DoseVolume", "1")


@pytest.mark.parametrize("width", [350, 500])
def test_full_it_fits_the_module_panel(section, width, tmp_path):
    """The picture is for looking at."""
    import numpy as np

    gradient = np.tile(np.arange(128, dtype=np.uint8) * 2, (128, 1))
    section.draw(
        library=dataclasses.replace(
            section.state.library,
            address="/data/library/thorax.sqlite",
            line="1,204 patients, made with thorax-vae50 1.0 (2f44c1a09b1e)",
            is_known=True,
            sites=("lung",),
            structures=("Heart", "Lung_L", "Lung_R", "PTV"),
        )
    )
    with_rows(section, picture=_grey_png(gradient))
    finding = dataclasses.replace(section.state.finding, identity=f"{ROW.pseudonym} is the patient with the ID 4711.")
    rows = (TableRow(("Heart", "mean", "5.0", "4.0 – 6.0", "9.1", "above", "8"), True),)
    contours = (TableRow(("Heart", "position S–I", "35.1 mm I", "30.0 mm I", "+4.1", "1204"), True),)
    section.draw(
        finding=finding,
        doses=dataclasses.replace(section.state.doses, rows=rows, summary="In Gy, over 8 plans of 30 fractions."),
        contours=dataclasses.replace(section.state.contours, rows=contours, summary="1 outlier among 20 figures."),
    )
    root = section.root
    assert root.minimumSizeHint().width() <= width
    root.resize(width, root.sizeHint().height())
    root.show()
    qt_stand_in.application().processEvents()
    for button in root.findChildren(QAbstractButton):
        if button.isVisible() and button.text():
            assert button.fontMetrics().horizontalAdvance(button.text()) < button.width(), button.text()
    assert root.grab().save(str(tmp_path / f"similar-{width}.png"))
