"""Patients go in, come out as they went in, are chosen, changed and revealed; in a file and on a server."""

import dataclasses
import getpass

import numpy as np
import pytest

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.bundle_parts import write_parts
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.library.access import create_library, open_library
from SlicerVAELib.library.digests import digest_of
from SlicerVAELib.library.maintenance import compact, verify
from SlicerVAELib.library.records import BundleIdentity, PatientIdentity, PatientRecord, SeriesIdentity
from SlicerVAELib.library.selection import PlanSummary, Selection
from Testing.headless.library_samples import BUNDLE, KEY, PNG, identity, new_library, record, stack
from Testing.headless.tiny_bundle import write_tiny_bundle


@pytest.fixture
def library(library_address):
    with new_library(library_address, 4) as made:
        yield made


def test_a_patient_comes_back_bit_by_bit_in_another_session(library_address):
    given = record(7, series=2)
    with new_library(library_address) as library:
        assert library.add(identity(7, 2), given)
    with open_library(library_address) as library:
        (pseudonym,) = library.pseudonyms()
        found = library.record(pseudonym)
    assert pseudonym == KEY.pseudonym("HOSPITAL-000007")
    assert digest_of(found) == digest_of(given)
    for there, here in zip(found.series, given.series, strict=True):
        assert np.array_equal(there.posteriors.mean, here.posteriors.mean)
        assert np.array_equal(there.posteriors.slice_positions_mm, here.posteriors.slice_positions_mm)
        assert there.facts.geometry.matches(here.facts.geometry, 0.0)
        assert there.facts.structures == here.facts.structures
        assert there.thumbnails == here.thumbnails
    (dose,) = found.plans[0].doses
    assert dose.statistics == given.plans[0].doses[0].statistics
    assert np.array_equal(dose.curve.dose_gy, given.plans[0].doses[0].curve.dose_gy)
    assert found.plans[0].series == 1
    assert found.tags == ("trial", "year 7")


def test_a_bundle_that_was_given_a_part_since_is_still_the_librarys(tmp_path):
    """Calibrating a model changes its bundle, not its posteriors."""
    write_tiny_bundle(tmp_path / "bundle")
    before = read_manifest(tmp_path / "bundle")
    latent = load_network(tmp_path / "bundle", before).latent
    after = write_parts(tmp_path / "bundle", {"calibration.json": b"{}"})
    assert after.checksum != before.checksum
    held = dataclasses.replace(BundleIdentity.of(before, latent), latent_size=BUNDLE.latent_size)
    create_library(tmp_path / "library.sqlite", KEY, held).close()
    open_library(tmp_path / "library.sqlite", KEY, BundleIdentity.of(after, latent)).close()
    other = dataclasses.replace(after.preprocessing, spacing_mm=after.preprocessing.spacing_mm * 2)
    with pytest.raises(UserError, match="was made with"):
        changed = BundleIdentity.of(dataclasses.replace(after, preprocessing=other), latent)
        open_library(tmp_path / "library.sqlite", KEY, changed)


def test_volumes_at_a_dose_come_from_the_stored_histogram(library):
    dose = library.record(library.pseudonyms()[0]).plans[0].doses[0]
    assert dose.volume_at(0.0) == pytest.approx(dose.statistics.volume_cm3)
    assert dose.percent_at(dose.statistics.d50_gy) == pytest.approx(50, abs=4)
    assert dose.volume_at(1000.0) == 0.0


def test_a_patient_who_is_there_is_not_added_again(library):
    assert not library.add(identity(2), record(99))
    assert len(library.list()) == 4
    assert library.record(library.pseudonyms()[2]).tags == ("trial", "year 2")
    assert library.holds("HOSPITAL-000002")
    assert not library.holds("HOSPITAL-000004")


def test_series_are_known_again(library):
    assert library.holds_series("HOSPITAL-000002", identity(2).series[0])
    assert not library.holds_series("HOSPITAL-000002", identity(3).series[0])
    assert not library.holds_series("HOSPITAL-000009", identity(2).series[0])


def test_a_record_is_replaced_whole(library):
    library.replace(identity(2, 2), record(42, series=2))
    assert len(library.list()) == 4
    (found,) = library.list(Selection(tags=("year 42",)))
    assert (found.pseudonym, found.series, found.slices) == (KEY.pseudonym("HOSPITAL-000002"), 2, 10)
    assert library.holds_series("HOSPITAL-000002", identity(2, 2).series[1])
    assert verify(library).is_whole


def test_what_was_removed_is_gone_and_can_come_back(library):
    removed = library.pseudonyms()[1]
    library.remove(removed)
    assert removed not in library.pseudonyms()
    assert not library.holds("HOSPITAL-000001")
    with pytest.raises(UserError, match=f"no patient {removed}"):
        library.remove(removed)
    with pytest.raises(UserError, match=f"no patient {removed}"):
        library.record(removed)
    with pytest.raises(UserError, match=f"no patient {removed}"):
        library.facts([library.pseudonyms()[0], removed])
    compact(library)
    report = verify(library)
    assert (report.patients, report.series, report.slices, report.faults) == (3, 3, 15, ())
    assert library.add(identity(1), record(1))


def test_a_list_says_what_there_is(library):
    first = library.list()[0]
    assert first.pseudonym == KEY.pseudonym("HOSPITAL-000000")
    assert (first.series, first.slices, first.modalities, first.body_parts) == (1, 5, ("CT",), ("CHEST",))
    assert first.plans == (PlanSummary("breast", "left", "VMAT", 50.0, 25),)
    assert first.tags == ("trial", "year 0")


def test_patients_are_chosen_by_what_is_known_of_them(library):
    for selection, numbers in (
        (Selection(), [0, 1, 2, 3]),
        (Selection(site="LUNG"), [1, 3]),
        (Selection(site="lung", prescription_gy=(50, 51)), [1]),
        (Selection(site="lung", prescription_gy=(50, 50.5)), []),
        (Selection(laterality="left", technique="vmat", approval="approved", intent="curative"), [0, 1, 2, 3]),
        (Selection(fractions=30), []),
        (Selection(modality="CT", body_part="chest"), [0, 1, 2, 3]),
        (Selection(modality="MR"), []),
        (Selection(structures=("Heart", "Lung_L")), [0, 1, 2, 3]),
        (Selection(structures=("Heart", "Lung_R")), []),
        (Selection(tags=("Trial", "year 3")), [3]),
    ):
        wanted = [KEY.pseudonym(f"HOSPITAL-{number:06d}") for number in numbers]
        assert list(library.pseudonyms(selection)) == wanted, selection
        assert [patient.pseudonym for patient in library.list(selection)] == wanted, selection


def test_facts_come_in_the_order_asked_for(library):
    wanted = library.pseudonyms()[::-1]
    facts = library.facts(wanted)
    assert [patient.pseudonym for patient in facts] == list(wanted)
    assert [patient.series[0].structures[0].volume_cm3 for patient in facts] == [603.5, 602.5, 601.5, 600.5]
    assert facts[0].plans[0].doses[0].structure == "Heart"


def test_tags_change_alone(library):
    pseudonym = library.pseudonyms()[1]
    before = library.record(pseudonym)
    library.tag(pseudonym, ["second course", "second course", "boost"])
    after = library.record(pseudonym)
    assert after.tags == ("boost", "second course")
    assert digest_of(dataclasses.replace(after, tags=before.tags)) == digest_of(before)
    assert verify(library).is_whole


def test_a_reveal_needs_a_reason_and_is_logged(library):
    pseudonym = library.pseudonyms()[2]
    with pytest.raises(UserError, match="reason"):
        library.reveal(pseudonym, "  ")
    with pytest.raises(UserError, match="no patient"):
        library.reveal("P-NOBODY", "to compare plans")
    assert library.reveals() == ()
    assert library.reveal(pseudonym, "to compare plans") == identity(2)
    (entry,) = library.reveals()
    assert (entry.who, entry.pseudonym, entry.why) == (getpass.getuser(), pseudonym, "to compare plans")
    assert entry.when.endswith("+00:00")


def test_text_that_names_the_patient_is_refused(library):
    before = library.pseudonyms()
    tagged = dataclasses.replace(record(5), tags=("see hospital-000005",))
    with pytest.raises(UserError, match="names the patient"):
        library.add(identity(5), tagged)
    with pytest.raises(UserError, match="names the patient"):
        library.tag(before[0], ["like HOSPITAL-000000"])
    with pytest.raises(UserError, match="names the patient"):
        library.reveal(before[0], "HOSPITAL-000000 asked")
    with pytest.raises(UserError, match="line of text"):
        library.tag(before[0], ["a\0b"])
    assert library.pseudonyms() == before
    assert library.reveals() == ()


def test_pictures_of_heads_are_kept_only_where_that_was_asked_for(library, tmp_path):
    def shows(body_part: str) -> PatientRecord:
        (series,) = record(5).series
        return PatientRecord(
            (dataclasses.replace(series, facts=dataclasses.replace(series.facts, body_part=body_part)),)
        )

    for head in ("HEAD", "BRAIN", "HEADNECK", "WHOLEBODY", "Kopf", ""):
        with pytest.raises(UserError, match="may show a face"):
            library.add(identity(5), shows(head))
    assert library.add(identity(5), shows("Chest-Abdomen"))
    with create_library(tmp_path / "heads.sqlite", KEY, BUNDLE, keeps_head_pictures=True) as heads:
        assert heads.add(identity(5), shows("HEAD"))
        (kept,) = heads.record(heads.pseudonyms()[0]).series
    assert kept.thumbnails[0].png == PNG + b"\0"


def test_only_pngs_are_pictures(library):
    (series,) = record(5).series
    picture = dataclasses.replace(series.thumbnails[0], png=b"GIF89a")
    with pytest.raises(UserError, match="PNG"):
        library.add(identity(5), PatientRecord((dataclasses.replace(series, thumbnails=(picture,)),)))


def test_posteriors_of_another_model_are_refused(library, library_address):
    (series,) = record(5).series
    other = PatientRecord((dataclasses.replace(series, posteriors=stack(1, latents=7)),))
    with pytest.raises(UserError, match=r"7 latents, but .* 6"):
        library.add(identity(5), other)
    with pytest.raises(UserError, match=r"was made with thorax 1\.0"):
        open_library(library_address, KEY, dataclasses.replace(BUNDLE, sha256="cd" * 32))
    open_library(library_address, KEY, BUNDLE).close()


def test_numbers_that_are_none_are_refused():
    with pytest.raises(UserError, match="not a number"):
        dataclasses.replace(stack(1), mean=np.full((5, 6), np.nan))
    with pytest.raises(UserError, match="Heart has no volume"):
        dataclasses.replace(record(1).series[0].facts.structures[0], volume_cm3=float("nan"))


def test_a_patient_without_an_id_is_refused():
    with pytest.raises(UserError, match="without an ID"):
        PatientIdentity(" ", (SeriesIdentity("1.2"),))
    with pytest.raises(UserError, match="neither a UID nor a place"):
        SeriesIdentity()


def test_nothing_is_created_over_something(library, library_address):
    with pytest.raises(UserError, match="already"):
        create_library(library_address, KEY, BUNDLE)
    assert len(library.list()) == 4


def test_codes_have_no_posterior_to_keep(tmp_path):
    with pytest.raises(UserError, match="no Gaussian posteriors"):
        create_library(tmp_path / "l.sqlite", KEY, dataclasses.replace(BUNDLE, latent_kind="codes"))
    assert list(tmp_path.iterdir()) == []
