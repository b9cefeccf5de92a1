"""Keep treated patients in a library, and find those who are most like a new one.

URL is a file (plans.sqlite) or postgresql://host/database. The library holds what a model sees of each patient's slices
beside structures, plan and dose, under pseudonyms; who a patient is, is encrypted under the site's key. Research and
decision support: similar images do not make a plan right."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ..patient_library import actions
from .hardware import add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    kinds = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, words: str, act: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        sentence = f"{words[0].upper()}{words[1:]}."
        added = kinds.add_parser(name, help=words, description=sentence, formatter_class=parser.formatter_class)
        added.add_argument("url", metavar="URL", help="file of the library, or postgresql://host/database")
        added.set_defaults(act=act)
        return added

    create = action("create", "make an empty library for the patients as one model sees them", actions.create)
    _add_bundle(create)
    _add_key(create, "where it does not exist, a new key is made")
    create.add_argument("--thumbnails-of-heads", action="store_true", help="keep pictures that may show faces")

    add = action("add", "add the patients of a folder or a server; what is there is skipped", actions.add)
    _add_bundle(add)
    _add_data(add, "folder of patients, or dicomweb+http://…/studies/UID")
    _add_key(add, "without which nobody can be added")
    add.add_argument("--workers", type=_at_least_one, default=1, metavar="N", help="processes at once")
    add.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on the cluster of RAY_ADDRESS")
    add.add_argument("--tag", action="append", default=[], metavar="WORD", help="for all of them; may be repeated")
    add.add_argument("--site", default="", metavar="WORD", help="treated site, where a plan names none")
    add_device(add)

    similar = action("similar", "rank the library's patients by how like they are to one", actions.similar)
    _add_bundle(similar)
    _add_data(similar, "folder of the patient, or dicomweb+http://…/studies/UID")
    _add_key(similar, "with it, a patient who is in the library is left out")
    similar.add_argument("--series", metavar="UID", help="which image, by the end of its UID, where there are several")
    similar.add_argument("--count", type=_at_least_one, default=10, metavar="K", help="how many patients")
    similar.add_argument("--by", choices=("kl", "geometry", "both"), default="kl", help="what to rank by")
    similar.add_argument(
        "--direction", choices=("symmetric-kl", "kl", "reverse-kl"), default="symmetric-kl", help="between slices"
    )
    similar.add_argument("--window", type=_positive, default=30.0, metavar="MM", help="slices this near are compared")
    similar.add_argument(
        "--first",
        type=_at_least_one,
        metavar="N",
        help="in a very large library: only the N series most alike overall",
    )
    similar.add_argument("--alpha-beta", type=_positive, metavar="GY", help="compare doses as EQD2 with this α/β")
    similar.add_argument("--json", type=Path, metavar="FILE", help="write everything for programs")
    similar.add_argument("--csv", type=Path, metavar="FILE", help="write the ranking for spreadsheets")
    similar.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures and histograms")
    _add_filters(similar)
    add_device(similar)

    listing = action("list", "list the patients by their pseudonyms", actions.list_patients)
    _add_filters(listing)
    show = action("show", "tell all facts of a patient", actions.show)
    show.add_argument("pseudonym", metavar="PSEUDONYM")
    remove = action("remove", "take a patient out", actions.remove)
    remove.add_argument("pseudonym", metavar="PSEUDONYM")
    remove.add_argument("--yes", action="store_true", help="really; it can't be undone")
    verify = action("verify", "compare everything with its checksums", actions.verify)
    verify.add_argument("--vacuum", action="store_true", help="clear what removed patients left behind")
    _add_key(verify, "with it, what is encrypted is opened too")
    export = action("export", "write all facts without identities", actions.export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="ending in .csv or .json")
    _add_filters(export)
    reveal = action("reveal", "tell who a patient is; that you asked is logged", actions.reveal)
    reveal.add_argument("pseudonym", metavar="PSEUDONYM")
    reveal.add_argument("--why", required=True, metavar="TEXT", help="the reason, for the log")
    _add_key(reveal, "under which identities are encrypted")


def run(options: argparse.Namespace) -> int:
    """Do what is asked."""
    return int(options.act(options) or 0)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="model of 'slicervae export'")


def _add_data(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--data", required=True, metavar="DIR", help=words)


def _add_key(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--key", type=Path, metavar="FILE", help=f"file of the site's key; {words}")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("only patients with all of this")
    for name in ("site", "laterality", "technique"):
        group.add_argument(f"--{name}", default="", metavar="WORD")
    group.add_argument("--prescription", type=_span, metavar="MIN-MAX", help="Gy")
    group.add_argument("--structure", action="append", default=[], metavar="NAME", help="contoured; may be repeated")
    group.add_argument("--with-tag", action="append", default=[], metavar="WORD", help="may be repeated")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _span(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    if not dash or not _number(low) <= _number(high):
        raise argparse.ArgumentTypeError(f"{text} is no span of doses; write it as 50-60")
    return _number(low), _number(high)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
