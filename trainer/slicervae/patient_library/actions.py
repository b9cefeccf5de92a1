"""What ``slicervae library`` does, one function an action. Heavy imports wait until an action needs them."""

import argparse
import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.access import create_library, load_site_key, open_library, site_key_or_new

if TYPE_CHECKING:
    from SlicerVAELib.core.progress import Cancel, Listener
    from SlicerVAELib.library.records import BundleIdentity
    from SlicerVAELib.library.selection import Selection

    from .adding import Runner
    from .preparation import Settings


def create(options: argparse.Namespace) -> None:
    """Make an empty library, and a key where there is none."""
    identity = _identity(options.bundle)
    with (
        site_key_or_new(options.key) as key,
        create_library(options.url, key, identity, keeps_head_pictures=options.thumbnails_of_heads) as library,
    ):
        sys.stdout.write(f"Made {library.address} for {identity.title}, under the key {key.path}.\n")


def add(options: argparse.Namespace) -> int:
    """Add patients; 1 where there were some to add and none could be."""
    from SlicerVAELib.core.manifest import read_manifest
    from SlicerVAELib.core.progress import part_of
    from SlicerVAELib.io.dicomweb import local_copy

    from .adding import add_patients
    from .patients import patients_in

    with (
        open_library(options.url, load_site_key(options.key), _identity(options.bundle)) as library,
        _watched("Adding", "Stopped; who was added stays, and the same command goes on.") as (listener, cancel),
        local_copy(options.data, progress=part_of(listener, 0, 0.1), cancel=cancel) as folder,
    ):
        modality = read_manifest(options.bundle).declaration.modality
        patients = patients_in(folder, modality, part_of(listener, 0.1, 0.2), cancel)
        settings = _settings(options, library.description.keeps_head_pictures, options.site, tuple(options.tag))
        summary = add_patients(library, patients, settings, _runner(options), part_of(listener, 0.2, 1), cancel)
    _tell("Note", summary.notices)
    _tell("Not added", summary.refused)
    sys.stdout.write(
        f"Added {summary.added} patients to {options.url}; {summary.present} were there already and "
        f"{len(summary.refused)} could not be added.\n"
    )
    return int(bool(summary.refused) and not (summary.added or summary.present))


def similar(options: argparse.Namespace) -> None:
    """Rank, tell, and write."""
    from SlicerVAELib.core.manifest import read_manifest
    from SlicerVAELib.core.progress import part_of
    from SlicerVAELib.io.dicomweb import local_copy
    from SlicerVAELib.io.write import write_bytes_atomically, write_json_atomically

    from .comparison import Question, compare_with_library
    from .documents import to_json, to_text
    from .query import read_query
    from .tables import ranking_csv

    key = load_site_key(options.key) if options.key else None
    settings = _settings(options, True)
    with (
        open_library(options.url, key, _identity(options.bundle)) as library,
        _watched("Comparing", "Stopped; nothing was written.") as (listener, cancel),
        local_copy(options.data, progress=part_of(listener, 0, 0.2), cancel=cancel) as folder,
    ):
        filters = _selection(options)
        if not library.pseudonyms(filters):
            raise UserError("No patient of the library has all that; loosen the filters.")
        modality = read_manifest(options.bundle).declaration.modality
        query = read_query(folder, options.series, modality, settings, part_of(listener, 0.2, 0.6), cancel)
        how = (options.by, options.direction, options.window, filters, options.alpha_beta, options.first)
        question = Question(options.count, *how)
        comparison = compare_with_library(query, library, question, part_of(listener, 0.6, 1), cancel)
        title = library.description.bundle.title
    _tell("Note", (*query.series.notices, *comparison.notices))
    if options.json is not None:
        write_json_atomically(options.json, to_json(comparison))
    if options.csv is not None:
        write_bytes_atomically(options.csv, ranking_csv(comparison).encode())
    if options.html is not None:
        from .page import to_page

        page = to_page(comparison, query.picture(settings), str(library.address), title)
        write_bytes_atomically(options.html, page.encode())
        sys.stderr.write(f"Wrote {options.html}; it shows patients: keep it where patient data may be kept.\n")
    sys.stdout.write(to_text(comparison))


def list_patients(options: argparse.Namespace) -> None:
    """Tell who is there."""
    from .listing import list_table

    with open_library(options.url) as library:
        patients = library.list(_selection(options))
    sys.stdout.write(list_table(patients).as_text() if patients else "No patient.\n")


def show(options: argparse.Namespace) -> None:
    """Tell all facts of a patient."""
    from .listing import show_text

    with open_library(options.url) as library:
        (patient,) = library.facts([options.pseudonym])
    sys.stdout.write(show_text(patient))


def remove(options: argparse.Namespace) -> None:
    """Take a patient out."""
    with open_library(options.url) as library:
        library.facts([options.pseudonym])  # who is not there is told first
        if not options.yes:
            raise UserError(f"Removing {options.pseudonym} can't be undone; give --yes to do it.")
        library.remove(options.pseudonym)
    sys.stdout.write(
        f"Removed {options.pseudonym}; 'slicervae library verify {options.url} --vacuum' clears what deleting leaves "
        "behind.\n"
    )


def verify(options: argparse.Namespace) -> int:
    """Tell whether the library is whole; 1 where it is not."""
    from SlicerVAELib.library.maintenance import compact
    from SlicerVAELib.library.maintenance import verify as verify_library

    key = load_site_key(options.key) if options.key else None
    with open_library(options.url, key) as library:
        with _watched("Verifying", "Stopped; nothing was changed.") as (listener, cancel):
            report = verify_library(library, listener, cancel)
        _tell("Note", report.remarks)
        sys.stdout.writelines(f"Fault: {fault}\n" for fault in report.faults)
        counts = f"{report.patients} patients, {report.series} series, {report.slices} slices"
        sys.stdout.write(f"{counts}: {'whole' if report.is_whole else 'damaged'}.\n")
        if options.vacuum and report.is_whole:
            compact(library)
            sys.stdout.write("What removed patients left behind is cleared.\n")
    return 0 if report.is_whole else 1


def export(options: argparse.Namespace) -> None:
    """Write all facts without identities."""
    from SlicerVAELib.io.write import write_bytes_atomically, write_json_atomically

    from .listing import export_data, export_rows

    kind = options.out.suffix.lower()
    if kind not in (".csv", ".json"):
        raise UserError(f"{options.out} ends neither in .csv nor in .json; name it so that its kind is clear.")
    with open_library(options.url) as library:
        pseudonyms = library.pseudonyms(_selection(options))
        if kind == ".json":
            write_json_atomically(options.out, export_data(library, pseudonyms))
        else:
            write_bytes_atomically(options.out, export_rows(library, pseudonyms).as_csv().encode())
    sys.stdout.write(f"Wrote {len(pseudonyms)} patients to {options.out}.\n")


def reveal(options: argparse.Namespace) -> None:
    """Tell who a patient is, after it was logged."""
    with open_library(options.url, load_site_key(options.key)) as library:
        identity = library.reveal(options.pseudonym, options.why)
    sys.stdout.write(f"{options.pseudonym} is {identity.patient_id}.\n")
    for number, series in enumerate(identity.series, start=1):
        sys.stdout.write(f"  Series {number}: {series.series_uid or 'no UID'}, loads from {series.place}\n")


def _identity(bundle: Path) -> "BundleIdentity":
    from SlicerVAELib.core.bundle import load_network
    from SlicerVAELib.core.manifest import read_manifest
    from SlicerVAELib.library.records import BundleIdentity

    manifest = read_manifest(bundle)
    return BundleIdentity.of(manifest, load_network(bundle, manifest).latent)


def _settings(
    options: argparse.Namespace, keeps_head_pictures: bool, site: str = "", tags: tuple[str, ...] = ()
) -> "Settings":
    from ..commands.hardware import hardware_of
    from .preparation import Settings

    return Settings(options.bundle, options.data, hardware_of(options), keeps_head_pictures, site, tags)


def _runner(options: argparse.Namespace) -> "Runner":
    from .runners import in_processes, in_ray, one_after_another

    if options.engine == "ray":
        return functools.partial(in_ray, workers=options.workers)
    return functools.partial(in_processes, workers=options.workers) if options.workers > 1 else one_after_another


def _selection(options: argparse.Namespace) -> "Selection":
    from SlicerVAELib.core.structure_names import StructureNames
    from SlicerVAELib.library.selection import Selection

    names = StructureNames()
    return Selection(
        site=options.site,
        laterality=options.laterality,
        technique=options.technique,
        prescription_gy=options.prescription,
        structures=tuple(names.standard(name) or name for name in options.structure),
        tags=tuple(options.with_tag),
    )


@contextlib.contextmanager
def _watched(title: str, stopped: str) -> Iterator[tuple["Listener", "Cancel"]]:
    from ..console import cancel_on_interrupt, progress_bar

    with progress_bar(title) as listener, cancel_on_interrupt(stopped) as cancel:
        yield listener, cancel


def _tell(kind: str, lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(f"{kind}: {line}\n")
