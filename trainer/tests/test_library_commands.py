"""``slicervae library`` on real DICOM of phantoms: filled, searched, listed and cleared, everything by its words."""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from slicervae.cli import main
from slicervae.patient_library.adding import add_patients
from slicervae.patient_library.patients import patients_in
from slicervae.patient_library.preparation import Settings
from slicervae.patient_library.runners import in_processes, one_after_another
from slicervae.phantom import write_cohort
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.library.access import load_site_key, open_library
from SlicerVAELib.library.maintenance import verify
from Testing.headless.orthanc import running
from Testing.headless.tiny_bundle import write_tiny_bundle

PATIENTS = 7
SIZE, SLICES = 32, 12


@dataclasses.dataclass(frozen=True)
class Site:
    """A hospital with a cohort, a model, a key, and a library of the cohort."""

    folder: Path

    @property
    def cohort(self) -> Path:
        return self.folder / "cohort"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def key(self) -> Path:
        return self.folder / "keys" / "site.key"

    @property
    def library(self) -> Path:
        return self.folder / "library" / "plans.sqlite"

    def patient(self, number: int) -> Path:
        return self.cohort / f"PHANTOM-{number:04d}"

    def pseudonym(self, number: int) -> str:
        return load_site_key(self.key).pseudonym(f"PHANTOM-{number:04d}")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Site:
    made = Site(tmp_path_factory.mktemp("site"))
    write_cohort(made.cohort, patients=PATIENTS, seed=11, size=SIZE, slices=SLICES)
    write_tiny_bundle(made.bundle)
    made.library.parent.mkdir()
    assert run("create", made.library, "--bundle", made.bundle, "--key", made.key) == 0
    assert add(made, made.library, made.cohort, "--tag", "phantoms", "--workers", 2) == 0
    return made


@pytest.fixture(scope="module")
def answered(site, tmp_path_factory) -> Path:
    """The folder of what is told of patient 4 beside all others, in EQD2."""
    out = tmp_path_factory.mktemp("answer")
    files = ("--csv", out / "answer.csv", "--html", out / "answer.html")
    similar(site, site.patient(4), out, "--key", site.key, "--alpha-beta", 3, *files)
    return out


@pytest.fixture
def answer(answered) -> dict:
    return json.loads((answered / "answer.json").read_text())


@pytest.fixture
def copy(site, tmp_path) -> Path:
    """A copy of the library that may be changed."""
    return Path(shutil.copy(site.library, tmp_path / "copy.sqlite"))


def run(*words: object) -> int:
    return main(["library", *map(str, words)])


def add(site: Site, library: Path | str, data: Path | str, *more: object) -> int:
    return run("add", library, "--bundle", site.bundle, "--key", site.key, "--data", data, *more)


def similar(site: Site, data: Path | str, out: Path, *more: object) -> dict:
    """The answer of the library as its JSON file holds it."""
    words = ("similar", site.library, "--bundle", site.bundle, "--data", data, "--json", out / "answer.json")
    assert run(*words, *more) == 0
    return json.loads((out / "answer.json").read_text())


def renamed(source: Path, out: Path, patient_id: str) -> Path:
    """The same patient's files under another ID."""
    for path in source.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = patient_id
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target)
    return out


def with_contours(source: Path, out: Path, structure: str, change) -> Path:
    """The same patient with ``change`` applied to each contour of a structure: its points (N, 3) and the number of its
    slice, from the feet; where it gives None there is no contour."""
    shutil.copytree(source, out)
    dataset = pydicom.dcmread(out / "RTSTRUCT.dcm")
    (roi,) = [each.ROINumber for each in dataset.StructureSetROISequence if each.ROIName == structure]
    (drawn,) = [each for each in dataset.ROIContourSequence if each.ReferencedROINumber == roi]
    levels = sorted({float(contour.ContourData[2]) for contour in drawn.ContourSequence})
    kept = []
    for contour in drawn.ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        changed = change(points, levels.index(points[0, 2]))
        if changed is not None:
            contour.ContourData = [f"{value:.3f}" for value in changed.ravel()]
            kept.append(contour)
    drawn.ContourSequence = kept
    dataset.save_as(out / "RTSTRUCT.dcm")
    return out


def test_what_the_files_say_is_in_the_library(site):
    with open_library(site.library) as library:
        assert len(library.pseudonyms()) == PATIENTS
        record = library.record(site.pseudonym(1))
    (series,), (plan,) = record.series, record.plans
    assert (series.facts.modality, series.facts.body_part, series.facts.patient_position) == ("CT", "CHEST", "HFS")
    assert {each.name for each in series.facts.structures} >= {"External", "Heart", "Lung_L", "Lung_R", "PTV"}
    assert len(series.thumbnails) > 5
    assert record.tags == ("phantoms",)
    planned = pydicom.dcmread(site.patient(1) / "RTPLAN.dcm")
    assert plan.prescription_gy == float(planned.DoseReferenceSequence[0].TargetPrescriptionDose)
    assert plan.fractions == int(planned.FractionGroupSequence[0].NumberOfFractionsPlanned)
    (target,) = [dose for dose in plan.doses if dose.structure == "PTV"]
    assert target.statistics.d95_gy == pytest.approx(plan.prescription_gy, rel=0.05)


def test_sides_are_the_patients_own(site):
    with (site.cohort / "parameters.csv").open() as file:
        sites = {row["patient"]: row["ptv_site"] for row in csv.DictReader(file)}
    with open_library(site.library) as library:
        for number in range(1, PATIENTS + 1):
            found = library.record(site.pseudonym(number)).plans[0].laterality
            place = sites[f"PHANTOM-{number:04d}"]
            assert found == {"L": "left", "R": "right"}.get(place[-1], ""), place


def test_adding_twice_adds_nothing(site, copy, capsys):
    before = copy.read_bytes()
    assert add(site, copy, site.cohort) == 0
    assert f"Added 0 patients to {copy}; {PATIENTS} were there" in capsys.readouterr().out
    assert copy.read_bytes() == before


def test_several_processes_give_what_one_gives(site, copy):
    run("remove", copy, site.pseudonym(1), "--yes")
    assert add(site, copy, site.cohort) == 0
    with open_library(copy) as by_one, open_library(site.library) as by_two:
        here, there = (library.record(site.pseudonym(1)) for library in (by_one, by_two))
    np.testing.assert_allclose(there.series[0].posteriors.mean, here.series[0].posteriors.mean, rtol=1e-4, atol=1e-5)
    assert there.plans[0].doses[0].statistics == here.plans[0].doses[0].statistics
    assert there.series[0].thumbnails == here.series[0].thumbnails


def test_who_was_added_before_a_stop_stays(site, copy):
    for number in (1, 2, 3):
        run("remove", copy, site.pseudonym(number), "--yes")
    cancel = Cancel()

    def stop_after_one(progress):
        if progress.stage == "adding patients" and progress.fraction > 0:
            cancel.request()

    patients = patients_in(site.cohort, Modality.CT, ignore, Cancel())
    settings = Settings(site.bundle, str(site.cohort), Hardware())
    with open_library(copy, load_site_key(site.key)) as library:
        with pytest.raises(Cancelled):
            add_patients(library, patients, settings, one_after_another, stop_after_one, cancel)
        assert len(library.pseudonyms()) == PATIENTS - 2
        assert verify(library).is_whole
        with pytest.raises(Cancelled):
            next(in_processes(patients, settings, cancel, workers=2))


def test_a_patient_who_cannot_be_read_does_not_stop_the_others(site, tmp_path, copy, capsys):
    run("remove", copy, site.pseudonym(1), "--yes")
    data = tmp_path / "data"
    shutil.copytree(site.patient(1), data / "PHANTOM-0001")
    renamed(site.patient(2), data / "broken", "BROKEN-1")
    for path in sorted((data / "broken" / "CT").glob("*.dcm"))[2:6]:
        path.unlink()
    assert add(site, copy, data) == 0
    said = capsys.readouterr()
    assert "Added 1 patients" in said.out
    (line,) = [line for line in said.err.splitlines() if line.startswith("Not added: BROKEN-1:")]
    assert line.endswith(".")
    shutil.rmtree(data / "PHANTOM-0001")
    assert add(site, copy, data) == 1


def test_an_ambiguous_plan_is_left_out_and_told(site, tmp_path, copy, capsys):
    data = renamed(site.patient(3), tmp_path / "two plans", "TWOPLANS")
    plan = pydicom.dcmread(data / "RTPLAN.dcm")
    plan.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["another plan"])
    plan.file_meta.MediaStorageSOPInstanceUID = plan.SOPInstanceUID
    plan.save_as(data / "RTPLAN2.dcm")
    assert add(site, copy, data) == 0
    assert "TWOPLANS: Taken without plan and dose: there are 2 plans, none of them approved" in capsys.readouterr().err
    with open_library(copy) as library:
        record = library.record(load_site_key(site.key).pseudonym("TWOPLANS"))
    assert record.plans == ()
    assert "Heart" in {each.name for each in record.series[0].facts.structures}


def test_a_patients_twin_is_the_most_similar(site, tmp_path, capsys):
    twin = renamed(site.patient(4), tmp_path / "twin", "TWIN-9")
    for by in ("kl", "geometry"):
        answer = similar(site, twin, tmp_path, "--by", by, "--count", 3)
        first = answer["patients"][0]
        assert first["pseudonym"] == site.pseudonym(4)
        assert (first["kl_nats"], first["geometry_mm"]) == (0, 0)
        assert len(answer["patients"]) == 3
    assert answer["scale"]["pairs_of_different_patients"] == PATIENTS * (PATIENTS - 1) // 2
    assert first["closer_than"] == 1
    said = capsys.readouterr()
    assert site.pseudonym(4) in said.out
    assert "has the very images" in said.err


def test_with_the_key_a_patient_is_not_compared_with_herself(site, answer):
    assert len(answer["patients"]) == PATIENTS - 1
    assert site.pseudonym(4) not in [each["pseudonym"] for each in answer["patients"]]
    assert any("holds this very patient" in notice for notice in answer["notices"])
    distances = [each["kl_nats"] for each in answer["patients"]]
    assert distances == sorted(distances)


def test_a_coarse_pass_leaves_those_who_are_most_alike_as_a_whole(site, tmp_path):
    told = similar(site, site.patient(4), tmp_path, "--key", site.key, "--first", 1)
    assert len(told["patients"]) == 1
    assert any(f"{PATIENTS - 2} patients were passed over" in notice for notice in told["notices"])


def test_tables_and_page_tell_the_same(answered, answer):
    table, page = (answered / "answer.csv").read_text(), (answered / "answer.html").read_text()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["pseudonym"] for row in rows] == [each["pseudonym"] for each in answer["patients"]]
    assert float(rows[0]["kl_nats"]) == pytest.approx(answer["patients"][0]["kl_nats"], rel=1e-6)
    assert page.count("<figure class") == PATIENTS  # the query and the others
    assert all(row["pseudonym"] in page for row in rows)
    assert "Dose–volume histograms" in page
    assert "PHANTOM-0004" not in page + table + json.dumps(answer)


def test_achievable_dose_is_the_neighbours_quartiles(answer):
    assert answer["dose_unit"] == "Gy EQD2, α/β = 3 Gy"
    (heart,) = [row for row in answer["achievable_dose"] if (row["organ"], row["figure"]) == ("Heart", "mean")]
    values = [each["doses"]["Heart"]["mean_gy"] for each in answer["patients"] if "Heart" in each["doses"]]
    expected = np.percentile(values, (25, 50, 75))
    assert [heart["lower_quartile"], heart["median"], heart["upper_quartile"]] == pytest.approx(list(expected))
    own = answer["query"]["doses"]["Heart"]["mean_gy"]
    assert heart["own"] == own
    assert heart["place"] == ("below" if own < expected[0] else "above" if own > expected[2] else "within")


def test_physical_doses_of_other_fractions_are_not_compared(site, tmp_path, capsys):
    answer = similar(site, site.patient(3), tmp_path, "--key", site.key)
    own = pydicom.dcmread(site.patient(3) / "RTPLAN.dcm").FractionGroupSequence[0].NumberOfFractionsPlanned
    same = [each for each in answer["patients"] if each["plan"]["fractions"] == own]
    assert 0 < len(same) < PATIENTS - 1
    assert [each["doses_comparable"] for each in answer["patients"]] == [each in same for each in answer["patients"]]
    (lung,) = [row for row in answer["achievable_dose"] if (row["organ"], row["figure"]) == ("Lung_L", "mean")]
    assert lung["patients"] == len(same)
    said = capsys.readouterr().err
    assert "have no part in the achievable dose; give --alpha-beta" in said
    assert "slices every" in said  # what is doubtful about the patient's own image


def test_a_moved_a_cut_and_a_holed_structure_are_found(site, tmp_path, answer):
    moved = with_contours(site.patient(4), tmp_path / "moved", "Heart", lambda points, _: points - [80.0, 0.0, 0.0])
    cut = with_contours(moved, tmp_path / "cut", "Lung_R", lambda points, level: points if level < 2 else None)
    holed = with_contours(cut, tmp_path / "holed", "Lung_L", lambda points, level: points if level != 4 else None)
    found = similar(site, holed, tmp_path, "--key", site.key)
    outliers, before = (
        {(row["structure"], row["quantity"]) for row in told["contour_check"] if row["is_outlier"]}
        for told in (found, answer)
    )
    assert outliers - before == {
        ("Heart", "position L–R"),
        *(("Lung_R", quantity) for quantity in ("extent S–I", "volume", "position S–I")),
    }
    assert found["missing_slices"].get("Lung_L", 0) == answer["missing_slices"].get("Lung_L", 0) + 1


def test_filters_choose_whom_to_compare_with(site, tmp_path, capsys):
    with open_library(site.library) as library:
        facts = library.facts(library.pseudonyms())
    left = {each.pseudonym for each in facts if each.plans[0].laterality == "left"}
    assert 0 < len(left) < PATIENTS
    answer = similar(site, site.patient(1), tmp_path, "--laterality", "LEFT", "--structure", "heart")
    assert {each["pseudonym"] for each in answer["patients"]} == left
    capsys.readouterr()
    assert run("list", site.library, "--prescription", "58-62") == 0
    listed = capsys.readouterr().out
    for each in facts:
        assert (each.pseudonym in listed) == (58 <= each.plans[0].prescription_gy <= 62)
    words = ("similar", site.library, "--bundle", site.bundle, "--data", site.patient(1), "--site", "foot")
    assert run(*words) == 1
    assert "loosen the filters" in capsys.readouterr().err


def test_facts_are_shown_and_exported_without_identities(site, tmp_path, capsys):
    assert run("show", site.library, site.pseudonym(2)) == 0
    shown = capsys.readouterr().out
    assert "Lung_L" in shown
    assert "Series 1: CT, CHEST, HFS" in shown
    lungs = {line.split()[0]: line for line in shown.splitlines() if line.startswith("Lung_")}
    assert " L " in lungs["Lung_L"] and " R " in lungs["Lung_R"]
    assert run("export", site.library, "--out", tmp_path / "all.csv") == 0
    assert run("export", site.library, "--out", tmp_path / "all.json") == 0
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    data = json.loads((tmp_path / "all.json").read_text())
    assert len({row["pseudonym"] for row in rows}) == len(data["patients"]) == PATIENTS
    (first,) = [row for row in rows if row["pseudonym"] == site.pseudonym(2) and row["structure"] == "PTV"]
    (patient,) = [each for each in data["patients"] if each["pseudonym"] == site.pseudonym(2)]
    assert float(first["mean_gy"]) == pytest.approx(patient["plans"][0]["doses"]["PTV"]["mean_gy"], rel=1e-5)
    text = shown + (tmp_path / "all.csv").read_text() + (tmp_path / "all.json").read_text()
    assert "PHANTOM" not in text
    assert str(site.cohort) not in text


def test_who_is_removed_is_gone(site, copy, capsys):
    gone = site.pseudonym(6)
    assert run("remove", copy, gone) == 1
    assert "--yes" in capsys.readouterr().err
    assert run("remove", copy, gone, "--yes") == 0
    assert run("verify", copy, "--vacuum", "--key", site.key) == 0
    assert f"{PATIENTS - 1} patients" in capsys.readouterr().out
    assert gone.encode() not in copy.read_bytes()
    assert run("show", copy, gone) == 1


def test_a_reveal_tells_who_and_is_logged(site, copy, capsys):
    assert run("reveal", copy, site.pseudonym(7), "--key", site.key, "--why", "to see the images") == 0
    said = capsys.readouterr().out
    assert "PHANTOM-0007" in said
    assert str(site.patient(7) / "CT") in said
    with open_library(copy) as library:
        (entry,) = library.reveals()
    assert (entry.pseudonym, entry.why) == (site.pseudonym(7), "to see the images")


def test_another_model_is_refused(site, tmp_path, copy, capsys):
    write_tiny_bundle(tmp_path / "other", seed=1)
    before = copy.read_bytes()
    words = ("--bundle", tmp_path / "other", "--key", site.key, "--data", site.cohort)
    assert run("add", copy, *words) == 1
    assert "was made with tiny-CT" in capsys.readouterr().err
    assert run("similar", copy, *words[:2], "--data", site.patient(1)) == 1
    assert copy.read_bytes() == before


def test_a_library_that_cannot_be_made_leaves_no_key(site, tmp_path, capsys):
    key = tmp_path / "keys" / "new.key"
    assert run("create", site.library, "--bundle", site.bundle, "--key", key) == 1
    assert "exists already" in capsys.readouterr().err
    assert not key.exists()


def test_a_folder_of_several_images_is_no_query(site, capsys):
    assert run("similar", site.library, "--bundle", site.bundle, "--data", site.cohort) == 1
    assert f"holds {PATIENTS} images" in capsys.readouterr().err


def test_a_pacs_is_a_source_and_is_remembered(site, tmp_path, copy):
    files = sorted(site.patient(1).rglob("*.dcm"))
    study = pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID
    run("remove", copy, site.pseudonym(1), "--yes")
    with running(tmp_path / "orthanc") as server:
        server.store(files)
        address = f"{server.address}/studies/{study}"
        assert add(site, copy, address) == 0
    with open_library(copy, load_site_key(site.key)) as far, open_library(site.library) as near:
        assert far.reveal(site.pseudonym(1), "test").series[0].place.startswith(f"{address}/series/")
        there, here = (library.record(site.pseudonym(1)) for library in (far, near))
    np.testing.assert_array_equal(there.series[0].posteriors.mean, here.series[0].posteriors.mean)
    assert there.plans[0].doses[0].statistics == here.plans[0].doses[0].statistics
