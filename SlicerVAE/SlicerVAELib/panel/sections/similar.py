"""The widgets of SlicerVAESimilar.ui."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer.util

from ...scene.dose_display import DOSE_VOLUME
from ..installation import LIBRARY, LIBRARY_SERVER, PipPackages
from ..labels import offer, write
from ..offered_texts import OfferedChecks, OfferedTexts
from ..presenters.similar import Filters, SimilarPresenter, SimilarState
from ..presenters.similar_library import LibraryState
from ..recent_libraries import recent_libraries, remember_library
from ..section import Panel, Section
from ..section_view import SectionView
from ..table_filling import fill_patients, fill_table
from ..translation import tr as _

NEW_TIP = _(
    "Make an empty library for the chosen model in a new file; 'slicervae library create' makes one on a server."
)
FIND_TIP = _("Compare the input with the patients of the library.")
LOAD_TIP = _(
    "Load the chosen patient beside the input, so that the same levels agree; the library logs who asked, and why."
)
REVEAL_TIP = _("Tell who the chosen patient is; the library logs who asked, and why.")
DOSE_TIP = _("Plot the histograms of these patients behind this patient's own, and tell what was achievable, in Gy.")
CONTOUR_TIP = _("Hold volume in cm³, length and place in mm of each structure against all patients of the library.")
ADD_TIP = _("Add the input with its structures and dose to the library; what is kept is told first.")
ANY, RECENT, ALL = _("any"), _("choose…"), _("all")
LIBRARIES = _("Libraries (*.sqlite *.db);;All files (*)")
ICON_PX = 48


def open_section(ui: Any, panel: Panel) -> Section:
    """Put the section together."""
    packages = PipPackages(LIBRARY), PipPackages(LIBRARY, LIBRARY_SERVER)
    return SimilarSection(ui, lambda view: SimilarPresenter(view, panel, *packages))


class SimilarSection(SectionView[SimilarPresenter]):
    """Draws SimilarState, and asks the person where that is needed."""

    def listen(self) -> None:
        """Connect the widgets."""
        self._drawn: dict[str, object] = {}
        self._typed: str | None = None
        ui, presenter, connect = self.ui, self.presenter, self.connections.connect
        ui.doseSelector.addAttribute("vtkMRMLScalarVolumeNode", DOSE_VOLUME, "1")
        connect(ui.libraryEdit, "textEdited(QString)", self._on_typed)
        connect(ui.libraryEdit, "editingFinished()", self._on_address)
        connect(ui.libraryBrowseButton, "clicked()", self._browse)
        connect(ui.siteKeyEdit, "currentPathChanged(QString)", self._remember_key)
        connect(ui.installButton, "clicked()", presenter.library.install)
        connect(ui.installFolderButton, "clicked()", self._install_from)
        connect(ui.newLibraryButton, "clicked()", self._create)
        connect(ui.findSimilarButton, "clicked()", presenter.find)
        connect(ui.patientTable, "cellDoubleClicked(int,int)", self._on_double_click)
        connect(ui.loadButton, "clicked()", self._load)
        connect(ui.revealButton, "clicked()", self._reveal)
        connect(ui.doseButton, "clicked()", presenter.compare_doses)
        connect(ui.contourButton, "clicked()", presenter.check_contours)
        connect(ui.addButton, "clicked()", presenter.add)

        def texts(combo: Any, nothing: str, chosen: Callable[[str], None]) -> OfferedTexts:
            return OfferedTexts(combo, nothing, self.connections, chosen)

        self._recent = texts(ui.recentComboBox, RECENT, presenter.choose_library)
        self._site = texts(ui.siteComboBox, ANY, presenter.choose_site)
        self._laterality = texts(ui.lateralityComboBox, ANY, presenter.choose_laterality)
        self._technique = texts(ui.techniqueComboBox, ANY, presenter.choose_technique)
        self._structures = OfferedChecks(ui.structuresList, self.connections, presenter.choose_structures)
        self._plotted = texts(ui.plottedComboBox, ALL, presenter.plot_structure)

    def draw(self, state: SimilarState) -> None:
        """Show the state."""
        ui, finding, is_idle = self.ui, state.finding, state.is_idle
        self._draw_library(state.library, is_idle=is_idle)
        self._draw_filters(state.library, state.filters)
        offer(ui.findSimilarButton, finding.hint, FIND_TIP, is_idle=is_idle)
        for widget in (ui.patientTable, ui.loadButton, ui.revealButton, ui.dosesGroup, ui.contoursGroup):
            widget.setVisible(bool(finding.rows))
        if self._is_new("patients", finding.rows):
            fill_patients(ui.patientTable, finding.rows, ICON_PX)
        write(ui.findingLabel, finding.summary)
        offer(ui.loadButton, finding.reveal_hint, LOAD_TIP, is_idle=is_idle)
        offer(ui.revealButton, finding.reveal_hint, REVEAL_TIP, is_idle=is_idle)
        write(ui.identityLabel, finding.identity)
        self._plotted.show(state.doses.structures, state.doses.plotted)
        offer(ui.doseButton, state.doses.hint, DOSE_TIP, is_idle=is_idle)
        offer(ui.contourButton, state.contours.hint, CONTOUR_TIP, is_idle=is_idle)
        offer(ui.addButton, state.add_hint, ADD_TIP, is_idle=is_idle)
        for name, table, label, part in (
            ("doses", ui.doseTable, ui.dosesLabel, state.doses),
            ("contours", ui.contourTable, ui.contoursLabel, state.contours),
        ):
            table.setVisible(bool(part.rows))
            write(label, part.summary)
            if self._is_new(name, part.rows):
                fill_table(table, part.rows)

    def ask_reason(self, pseudonym: str) -> str:
        """See ``FindingView``."""
        question = _("Why do you need to know who {pseudonym} is? The library keeps your name and the reason.").format(
            pseudonym=pseudonym
        )
        return str(qt.QInputDialog.getText(None, "SlicerVAE", question) or "").strip()

    def agrees(self, text: str) -> bool:
        """See ``AgreementView``."""
        return bool(slicer.util.confirmOkCancelDisplay(text, "SlicerVAE"))

    def _draw_library(self, library: LibraryState, *, is_idle: bool) -> None:
        ui = self.ui
        if self._is_new("address", library.address):
            ui.libraryEdit.setText(library.address)
        if library.is_known and self._is_new("remembered", library.address):
            remember_library(library.address)
        self._recent.show(recent_libraries(), "")
        write(ui.libraryNoteLabel, library.line, is_error=library.is_refused)
        write(ui.missingLabel, library.missing)
        for button in (ui.installButton, ui.installFolderButton):
            button.setVisible(bool(library.missing))
            button.setEnabled(library.can_install)
        offer(ui.newLibraryButton, library.create_hint, NEW_TIP, is_idle=is_idle)

    def _draw_filters(self, library: LibraryState, filters: Filters) -> None:
        self._site.show(library.sites, filters.site)
        self._laterality.show(library.lateralities, filters.laterality)
        self._technique.show(library.techniques, filters.technique)
        self._structures.show(library.structures, filters.structures)

    def _is_new(self, what: str, value: object) -> bool:
        """Whether this was not drawn last."""
        is_new = self._drawn.get(what) != value
        self._drawn[what] = value
        return is_new

    def _on_typed(self, text: str) -> None:
        self._typed = text

    def _on_address(self) -> None:
        text, self._typed = self._typed, None
        if text is not None:
            self._drawn.pop("address", None)  # shown without a password, or as it was, in the place of what was typed
            self.presenter.choose_library(text)

    def _browse(self) -> None:
        file = qt.QFileDialog.getOpenFileName(None, _("Patient library"), "", LIBRARIES)
        if file:
            self.presenter.choose_library(str(file))

    def _remember_key(self, path: str) -> None:
        if Path(path).is_file():  # offered again the next time
            self.ui.siteKeyEdit.addCurrentPathToHistory()

    def _create(self) -> None:
        file = qt.QFileDialog.getSaveFileName(None, _("New patient library"), "library.sqlite", LIBRARIES)
        if file:
            self.presenter.create_library(Path(str(file)))

    def _install_from(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with the packages"), "")
        if folder:
            self.presenter.library.install_from(Path(str(folder)))

    def _on_double_click(self, row: int, _column: int) -> None:
        self.presenter.load(row)

    def _load(self) -> None:
        self.presenter.load(self.ui.patientTable.currentRow())

    def _reveal(self) -> None:
        self.presenter.reveal(self.ui.patientTable.currentRow())
