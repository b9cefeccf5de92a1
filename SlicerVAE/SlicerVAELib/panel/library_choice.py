"""The chosen patient library: where it is, and what is in it, looked up beside the window."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.manifest import Manifest
from ..library.access import open_library
from ..library.address import ServerAddress, parse_address
from ..library.records import BundleIdentity
from .chosen_model import NO_PATH
from .latest_question import LatestQuestion
from .ports import Aside
from .runs import Runs
from .translation import tr as _

if TYPE_CHECKING:  # needs SQLAlchemy
    from ..library.contents import Contents


@dataclasses.dataclass(frozen=True, eq=False)
class LibraryFacts:
    """The model whose posteriors a library holds, whether it keeps pictures of heads, and what is in it."""

    bundle: BundleIdentity
    keeps_head_pictures: bool
    contents: "Contents"

    @property
    def in_words(self) -> str:
        """One line for a person."""
        return _("Patients: {count:,}; made with {model}").format(count=self.contents.patients, model=self.bundle.title)

    def refusal(self, manifest: Manifest | None) -> str:
        """A sentence where the library is another model's than that of ``manifest``, otherwise empty."""
        if manifest is None or manifest.encoder_checksum == self.bundle.sha256:
            return ""
        return _("The library was made with {model}, another model; choose that one, or another library.").format(
            model=self.bundle.title
        )


class LibraryChoice:
    """``facts`` is None where nothing is chosen, while somebody looks, and where ``complaint`` tells what is wrong.

    A password is kept here for as long as the panel lives, and nowhere else.
    """

    def __init__(self, runs: Runs, changed: Callable[[], None]) -> None:
        self.facts: LibraryFacts | None = None
        self.complaint = ""
        self._changed = changed
        self._chosen = ""
        self._with_password: dict[str, str] = {}
        self._question = LatestQuestion(runs, self._failed)

    @property
    def address(self) -> str:
        """Where the chosen library is, with the password if one was given; empty where none is chosen."""
        return self._with_password.get(self._chosen, self._chosen)

    @property
    def is_looking(self) -> bool:
        """Whether it is not known yet what is in it."""
        return bool(self._chosen) and self.facts is None and not self.complaint

    def enter(self, text: str) -> str:
        """Take an address as a person writes it, and return what of it may be kept and shown. Raises UserError."""
        address = parse_address(text.strip())
        kept = address.without_password
        if isinstance(address, ServerAddress) and address.url != kept:
            self._with_password[kept] = address.url
            if kept == self._chosen:  # with another password, perhaps
                self._chosen = ""
        return kept

    def choose(self, kept: str) -> None:
        """Look at another library; that which is chosen already is not looked at again."""
        if kept != self._chosen:
            self._chosen = kept
            self.look()

    def look(self) -> None:
        """Look what is in it now, as soon as there is room for it."""
        self.facts, self.complaint = None, ""
        self._question.forget()
        if self._chosen:
            address = self.address
            self._question.ask(Aside.of(facts_of, address), lambda facts: self._told(address, facts))

    def go_on(self) -> None:
        """Ask what still waits: the run state changed."""
        self._question.go_on()

    def _told(self, address: str, facts: LibraryFacts) -> None:
        if address == self.address:
            self.facts = facts
            self._changed()

    def _failed(self, error: UserError) -> None:
        self.complaint = str(error)
        self._changed()


def is_server(kept: str) -> bool:
    """Whether a chosen address is that of a server; not for one that is none at all."""
    try:
        return isinstance(parse_address(kept), ServerAddress)
    except UserError:
        return False


def facts_of(address: str) -> LibraryFacts:
    """Open the library and look. Raises UserError for what is no library, or can't be opened."""
    from ..library.contents import contents_of

    with open_library(address) as library:
        held = library.description
        return LibraryFacts(held.bundle, held.keeps_head_pictures, contents_of(library))


def site_key_file(chosen: Path) -> Path | None:
    """The file of the site's key: the chosen one, otherwise that in its usual place, None where there is none."""
    from ..library.keys import default_key_file

    if chosen != NO_PATH:
        return chosen
    usual = default_key_file()
    return usual if usual.is_file() else None
