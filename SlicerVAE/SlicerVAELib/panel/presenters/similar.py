"""Similar patients: the library, the search in it, doses and contours beside those found, and adding this patient."""

import dataclasses
from pathlib import Path
from typing import Protocol

from ..ports import Installation
from ..section import Panel
from .similar_adding import Adding, AgreementView
from .similar_contours import Contours, ContoursState
from .similar_doses import Doses, DosesState
from .similar_finding import Finding, FindingState, FindingView
from .similar_library import Library, LibraryState


@dataclasses.dataclass(frozen=True)
class Filters:
    """What is chosen by; empty lets everybody through."""

    site: str
    laterality: str
    technique: str
    structures: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SimilarState:
    """What the section shows."""

    is_idle: bool
    library: LibraryState
    filters: Filters
    finding: FindingState
    doses: DosesState
    contours: ContoursState
    add_hint: str


class SimilarView(FindingView, AgreementView, Protocol):
    """The section's widgets."""

    def draw(self, state: SimilarState) -> None:
        """Show the state."""
        ...


class SimilarPresenter:
    """Hands what the person does to its parts; for the packages see ``similar_library.Library``."""

    def __init__(
        self, view: SimilarView, panel: Panel, file_packages: Installation, server_packages: Installation
    ) -> None:
        self._view, self._panel = view, panel
        self.library = Library(panel, file_packages, server_packages)
        self._finding = Finding(view, panel, self.library)
        self._doses, self._contours = Doses(panel, self._finding), Contours(panel, self._finding)
        self._adding = Adding(view, panel, self.library)

    def refresh(self) -> None:
        """Draw the section; look into the library where another one is chosen."""
        parameters = self._panel.parameters
        self.library.refresh()
        self._view.draw(
            SimilarState(
                is_idle=self._panel.is_idle,
                library=self.library.state(),
                filters=Filters(
                    parameters.filterSite,
                    parameters.filterLaterality,
                    parameters.filterTechnique,
                    tuple(parameters.filterStructures),
                ),
                finding=self._finding.state(),
                doses=self._doses.state(),
                contours=self._contours.state(),
                add_hint=self._adding.hint(),
            )
        )

    def scene_closes(self) -> None:
        """Let go of every node."""
        for part in (self._finding, self._doses, self._contours):
            part.forget()

    def close(self) -> None:
        """Nothing is observed."""

    def choose_library(self, text: str) -> None:
        """Choose the library at an address that the person wrote."""
        self.library.choose(text)

    def create_library(self, path: Path) -> None:
        """Make a library in a new file, and choose it."""
        if self._panel.parameters is not None and not self.library.create_hint():
            self._adding.create(path)

    def choose_site(self, site: str) -> None:
        """Choose patients treated there."""
        self._choose("filterSite", site)

    def choose_laterality(self, side: str) -> None:
        """Choose patients treated on that side."""
        self._choose("filterLaterality", side)

    def choose_technique(self, technique: str) -> None:
        """Choose patients treated so."""
        self._choose("filterTechnique", technique)

    def choose_structures(self, names: tuple[str, ...]) -> None:
        """Choose patients who have all of these."""
        self._choose("filterStructures", list(names))

    def plot_structure(self, name: str) -> None:
        """Plot this structure, all of them where it is empty."""
        self._choose("plottedStructure", name)

    def find(self) -> None:
        """Search."""
        if not self._finding.hint():
            self._finding.find()

    def load(self, row: int) -> None:
        """Load a patient beside the query."""
        self._finding.load(row)

    def reveal(self, row: int) -> None:
        """Tell who a patient is."""
        self._finding.reveal(row)

    def compare_doses(self) -> None:
        """Plot the histograms and fill the table of achievable doses."""
        self._doses.compare()

    def check_contours(self) -> None:
        """Hold the contours against those of the library."""
        self._contours.check()

    def add(self) -> None:
        """Add the patient of the input to the library."""
        if self._panel.is_idle and not self._adding.hint():
            self._adding.add()

    def _choose(self, parameter: str, value: object) -> None:
        if self._panel.parameters is not None:
            setattr(self._panel.parameters, parameter, value)
