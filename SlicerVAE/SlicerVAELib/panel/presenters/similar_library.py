"""The library of the section "Similar patients": which one, what it needs, what can be chosen by in it."""

import dataclasses
from pathlib import Path

from ...core.errors import UserError, listed
from ..library_choice import LibraryChoice, LibraryFacts, is_server
from ..ports import Installation
from ..section import Panel
from ..state import Message
from ..translation import tr as _


@dataclasses.dataclass(frozen=True)
class LibraryState:
    """The chosen library: its address without a password, one line about it, and what can be chosen by in it.

    ``missing`` names the packages that are not there; ``is_known`` tells that the library could be opened.
    """

    address: str
    line: str
    is_refused: bool
    is_known: bool
    missing: str
    can_install: bool
    create_hint: str
    sites: tuple[str, ...] = ()
    lateralities: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()


class Library:
    """``file_packages`` are those that a library in a file needs, ``server_packages`` those of one on a server."""

    def __init__(self, panel: Panel, file_packages: Installation, server_packages: Installation) -> None:
        self._panel = panel
        self._file_packages, self._server_packages = file_packages, server_packages
        self._is_server = False
        self._missing = file_packages.missing()
        self._choice = LibraryChoice(panel.runs, panel.refresh)

    @property
    def address(self) -> str:
        """Where the chosen library is, with the password if one was given."""
        return self._choice.address

    @property
    def facts(self) -> LibraryFacts | None:
        """What is in it, None while that is not known."""
        return self._choice.facts

    def refresh(self) -> None:
        """Look into the library where another one is chosen."""
        address = self._panel.parameters.libraryAddress
        # What is there stays there; what is missing may have come from elsewhere meanwhile.
        if self._missing or self._is_server != is_server(address):
            self._is_server = is_server(address)
            self._missing = self._packages.missing()
        self._choice.choose("" if self._missing else address)
        self._choice.go_on()

    def look(self) -> None:
        """Look what is in it now."""
        self._choice.look()

    def choose(self, text: str) -> None:
        """Choose the library at an address that the person wrote."""
        if self._panel.parameters is None:
            return
        try:
            self._panel.parameters.libraryAddress = self._choice.enter(text) if text.strip() else ""
        except UserError as error:
            self._panel.runs.say(Message(str(error), is_error=True))
        self._panel.refresh()  # where it is the same, too: with another password, or to show it as it was

    def install(self) -> None:
        """Install what it needs from the network, asking first."""
        self._panel.runs.install(self._packages.install, self._installing())
        self._look_again()

    def install_from(self, folder: Path) -> None:
        """Install what it needs from a folder of wheels, without any network."""
        self._panel.runs.install(lambda: self._packages.install_from(folder), self._installing())
        self._look_again()

    def hint(self) -> str:
        """What the library lacks to be asked, as a sentence; empty when nothing."""
        if self._missing:
            return self._install_first()
        if self._panel.parameters is None or not self._panel.parameters.libraryAddress:
            return _("Choose a patient library.")
        if self._choice.is_looking:
            return _("The library is being opened…")
        return _("Choose another library.") if self.facts is None else self._refusal()

    def create_hint(self) -> str:
        """What a new library lacks."""
        return self._install_first() if self._missing else self._panel.hint

    def state(self) -> LibraryState:
        """What to show."""
        facts, refusal = self.facts, self._refusal()
        line = self._choice.complaint or (_("Opening…") if self._choice.is_looking else "")
        if facts is not None:
            line = "\n".join(filter(None, (facts.in_words, refusal)))
        common = LibraryState(
            address=self._panel.parameters.libraryAddress,
            line=line,
            is_refused=bool(self._choice.complaint or refusal),
            is_known=facts is not None,
            missing=self._missing_in_words(),
            can_install=self._panel.is_idle and bool(self._missing),
            create_hint=self.create_hint(),
        )
        if facts is None:
            return common
        held = facts.contents
        return dataclasses.replace(
            common,
            sites=held.sites,
            lateralities=held.lateralities,
            techniques=held.techniques,
            structures=held.structures,
        )

    @property
    def _packages(self) -> Installation:
        return self._server_packages if self._is_server else self._file_packages

    def _look_again(self) -> None:
        self._missing = self._packages.missing()
        self._panel.refresh()

    def _refusal(self) -> str:
        return self.facts.refusal(self._panel.model.manifest) if self.facts is not None else ""

    def _install_first(self) -> str:
        return _("Install {packages} first.").format(packages=listed(self._missing))

    def _missing_in_words(self) -> str:
        if not self._missing:
            return ""
        return _("Missing in Slicer's Python: {packages}.").format(packages=listed(self._missing))

    def _installing(self) -> str:
        return _("Installing {packages}…").format(packages=listed(self._missing))
