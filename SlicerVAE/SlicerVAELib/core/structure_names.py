"""What clinics call structures, matched to standard names.

Case, accents, spaces, underscores, dashes, points, commas and brackets make no difference. A side is never guessed:
where a name does not say left or right, it stays without a standard name.
"""

import dataclasses
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from .errors import UserError
from .tg263 import PAIRED, SINGLE, Paired

_SIDES = {
    "L": ("l", "lt", "left", "links", "linke", "linker", "linkes", "gauche"),
    "R": ("r", "rt", "right", "rechts", "rechte", "rechter", "rechtes", "droit", "droite"),
}
# Abbreviations that mean a side in one language only: "Lung re" may be a re-drawn one.
_GERMAN_SIDES = {"L": ("li",), "R": ("re",)}
_FRENCH_SIDES = {"L": ("g", "gche"), "R": ("d", "dte", "drt")}
_BOTH = ("both", "bilateral", "bilat", "beide", "beidseits", "bds", "l+r", "r+l")
_TARGET = re.compile(
    r"(?P<kind>[gcip]tv|igtv|ictv)(_?(?P<part>sb|par|vas|p|n|v))?(_?(?P<level>high|mid|low))?"
    r"(_?((?P<cgy>\d{4})|(?P<named>\d{3,4})_?cgy|(?P<gy>\d{1,2}([.,p]\d{1,2})?)_?gy))?"
)
_MARGIN = re.compile(r"(?P<base>.+?)_?prv_?((?P<mm>\d{1,2})(_?mm)?)?")
_NO_MARGIN = {"External", "CouchSurface", "CouchInterior"}

_T = TypeVar("_T")


class StructureNames:
    """Standard names after AAPM TG-263, and a site's own.

    ``extra`` is a text file with lines "standard name: synonym, synonym"; what follows # is a comment. Raises UserError
    that names file and line for one that is not so, or that gives a name a second meaning.
    """

    def __init__(self, extra: Path | None = None) -> None:
        self._standards = dict(_built_in())
        for entry in _read(extra) if extra is not None else ():
            self._add(entry)

    def standard(self, name: str) -> str | None:
        """The standard name that ``name`` means, None where it means none for certain.

        Targets keep part, level and dose (PTVn_5040: the dose in cGy), planning organ at risk volumes their margin
        (SpinalCord_PRV05: mm).
        """
        found = self._standards.get(_key(name))
        if found is not None:
            return found
        spaced = re.sub(r"[\s_\-]+", "_", _folded(name)).strip("_")
        if target := _TARGET.fullmatch(spaced):
            return _target_name(target)
        if margin := _MARGIN.fullmatch(spaced):
            base = self._standards.get(_key(margin["base"]))
            if base is not None and base not in _NO_MARGIN:
                return f"{base}_PRV{int(margin['mm']):02d}" if margin["mm"] else f"{base}_PRV"
        return None

    def matched(self, names: Iterable[str]) -> dict[str, str | None]:
        """The standard name of each of ``names``, the structures of one patient. A standard name that two of them would
        get is given to neither, because nobody knows which one is meant; ``doubts`` says so."""
        given = list(names)
        meant = Counter(self.standard(name) for name in given)
        return {name: standard if meant[standard := self.standard(name)] == 1 else None for name in given}

    def meant(self, wanted: str, names: Iterable[str]) -> str | None:
        """The one of ``names``, the structures of one patient, that ``wanted`` means; None where none does.

        That is the very name, else the only one that differs in nothing but case, else the only one with the same
        standard name. Raises UserError where several fit, because nobody knows which one is meant.
        """
        given = list(names)
        if wanted in given:
            return wanted
        fitting = [name for name in given if name.casefold() == wanted.casefold()]
        if not fitting and (standard := self.standard(wanted)) is not None:
            fitting = [name for name in given if self.standard(name) == standard]
        if len(fitting) > 1:
            several = " and ".join(repr(name) for name in fitting)
            raise UserError(f"{several} may each be the structure '{wanted}'; rename or remove all but one.")
        return fitting[0] if fitting else None

    def standardised(self, arrays: Mapping[str, _T]) -> dict[str, _T]:
        """What ``arrays`` holds by standard names where ``matched`` gives one, otherwise by the names that it has."""
        return {standard or name: arrays[name] for name, standard in self.matched(arrays).items()}

    def doubts(self, names: Iterable[str]) -> list[str]:
        """A sentence for each standard name that several of ``names`` would get."""
        claims: dict[str, list[str]] = {}
        for name in names:
            if (standard := self.standard(name)) is not None:
                claims.setdefault(standard, []).append(name)
        return [
            f"{' and '.join(repr(name) for name in claiming)} would {'both' if len(claiming) == 2 else 'all'} be "
            f"{standard}, so none of them is; rename or remove all but one."
            for standard, claiming in claims.items()
            if len(claiming) > 1
        ]

    def _add(self, entry: "_Entry") -> None:
        known = self.standard(entry.standard)
        if known is not None and _key(known) != _key(entry.standard):
            raise UserError(
                f"{entry.place}: '{entry.standard}' is no standard name but means {known}; write '{known}: …'."
            )
        standard = known or entry.standard
        for name in (entry.standard, *entry.synonyms):
            means = self.standard(name)
            if means not in (None, standard):
                raise UserError(f"{entry.place}: '{name}' already means {means}; a name can't mean {standard} too.")
            for key in _keys(name):
                self._standards.setdefault(key, standard)


@dataclasses.dataclass(frozen=True)
class _Entry:
    standard: str
    synonyms: Sequence[str]
    place: str  # file and line, for messages


def _read(path: Path) -> Iterator[_Entry]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}); check its name.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8; save it as such.") from error
    return _entries(content, str(path))


def _entries(content: str, source: str) -> Iterator[_Entry]:
    for number, line in enumerate(content.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        place = f"{source}, line {number}"
        standard, colon, synonyms = line.partition(":")
        if not colon or not _key(standard):
            raise UserError(f"{place} is not 'standard name: synonym, synonym'; write it so, or begin it with #.")
        yield _Entry(standard.strip(), [word for word in map(str.strip, synonyms.split(",")) if _key(word)], place)


@functools.cache
def _built_in() -> dict[str, str]:
    table: dict[str, str] = {}

    def add(name: str, standard: str) -> None:
        for key in _keys(name):
            if table.setdefault(key, standard) != standard:
                raise ValueError(f"'{name}' would be {standard} and {table[key]}")

    for entry in _entries(SINGLE, "the table"):
        for name in (entry.standard, *entry.synonyms):
            add(name, entry.standard)
    for pair in PAIRED:
        for name, standard in _of_pair(pair):
            add(name, standard)
    return table


def _of_pair(pair: Paired) -> Iterator[tuple[str, str]]:
    """Every name of a paired structure with its standard name."""
    languages = (
        ([pair.base, *_words(pair.english)], {"L": (), "R": ()}),
        (_words(pair.german), _GERMAN_SIDES),
        (_words(pair.french), _FRENCH_SIDES),
    )
    for words, abbreviations in languages:
        for side, marks in _SIDES.items():
            for word in words:
                for mark in (*marks, *abbreviations[side]):
                    yield f"{word} {mark}", f"{pair.base}_{side}"
                    yield f"{mark} {word}", f"{pair.base}_{side}"
        if pair.both:
            yield from ((f"{word} {mark}", pair.both) for word in words for mark in _BOTH)
    if pair.both:
        plurals = [pair.both, *_words(pair.plural), *(f"{word}s" for word in _words(pair.english))]
        yield from ((plural, pair.both) for plural in plurals)
        yield from ((f"{mark} {plural}", pair.both) for plural in plurals for mark in _BOTH)
        yield from ((f"{plural} {mark}", pair.both) for plural in plurals for mark in _BOTH)


def _words(text: str) -> list[str]:
    return [word for word in map(str.strip, text.split(",")) if word]


def _folded(name: str) -> str:
    """Without case and accents; œ and ß as two letters."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().replace("œ", "oe"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _key(name: str) -> str:
    return re.sub(r"[\s_\-.,()]+", "", _folded(name))


def _keys(name: str) -> set[str]:
    """The keys of a name of the table: umlauts may also have been written as two letters."""
    spelled_out = unicodedata.normalize("NFC", name.casefold())
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        spelled_out = spelled_out.replace(umlaut, letters)
    return {_key(name), _key(spelled_out)}


def _target_name(match: re.Match[str]) -> str:
    name = match["kind"].upper() + (match["part"] or "")
    if match["level"]:
        name += f"_{match['level'].capitalize()}"
    if match["gy"]:
        whole, _, tenths = re.sub("[,p]", ".", match["gy"]).partition(".")
        return f"{name}_{int(whole):02d}{tenths:0<2}"
    centigray = match["cgy"] or match["named"]
    return f"{name}_{int(centigray):04d}" if centigray else name
