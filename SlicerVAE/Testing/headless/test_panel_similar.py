"""The section "Similar patients": real MRML, a real SQLite library of phantoms, the real engine; the drawing alone is
recorded, and what the person answers is given."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from vtk.util.numpy_support import vtk_to_numpy

from slicervae.phantom import write_cohort
from SlicerVAELib.core.engine import EncodeRequest
from SlicerVAELib.library.access import load_site_key, open_library
from SlicerVAELib.library.records import PlanFacts
from SlicerVAELib.panel.offers import RankBy
from SlicerVAELib.panel.ports import Aside
from SlicerVAELib.panel.presenters.similar import SimilarPresenter
from SlicerVAELib.panel.readiness import override, warnings_of
from SlicerVAELib.panel.state import RunState
from Testing.headless.hospital import Hospital, encoded_patients, folder_of, open_hospital
from Testing.headless.panel_helper import BlockingRunner, LateRunner, Packages, Parameters, Window, make_panel
from Testing.headless.scene_patients import import_patient
from Testing.headless.tiny_bundle import write_tiny_bundle

PATIENTS = 8  # 28 pairs: enough to say what a KL means
PLANS = {
    number: PlanFacts(
        0, site="lung" if number < 8 else "oesophagus", prescription_gy=60.0, fractions=30, technique="VMAT"
    )
    for number in range(1, PATIENTS + 1)
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ward-7") / "cohort"
    write_cohort(folder, patients=PATIENTS + 1, seed=5, size=48, slices=12)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "thorax"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def whole(archive, bundle, engine, tmp_path_factory) -> Hospital:
    encoded = encoded_patients(archive, bundle, engine, PATIENTS)
    return open_hospital(tmp_path_factory.mktemp("hospital"), archive, bundle, encoded, PLANS)


@pytest.fixture
def library(whole, tmp_path, monkeypatch) -> Path:
    """The library, for this test alone."""
    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLICERVAE_SITE_KEY", str(tmp_path / "no key"))
    shutil.copy(whole.library, tmp_path / "library.sqlite")
    return tmp_path / "library.sqlite"


@pytest.fixture
def patient(scene, archive):
    """A patient who is not in the library."""
    return import_patient(scene, folder_of(archive, PATIENTS + 1))


@pytest.fixture
def plot_view(scene):
    """A plot view and the layout, as the application makes them."""
    view = scene.CreateNodeByClass("vtkMRMLPlotViewNode")
    view.UnRegister(None)
    view.SetLayoutName("PlotView1")
    view.SetSingletonTag("PlotView1")
    scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    return scene.AddNode(view)


class Person(Window):
    """The widgets, and what the person says to their questions."""

    def __init__(self) -> None:
        super().__init__()
        self.reason, self.answer, self.asked = "to compare the plans", True, []

    def ask_reason(self, pseudonym: str) -> str:
        self.asked.append(pseudonym)
        return self.reason

    def agrees(self, text: str) -> bool:
        self.asked.append(text)
        return self.answer


class Opened:
    """The section with its panel."""

    def __init__(self, runner, parameters: Parameters, packages: Packages | None = None) -> None:
        self.panel, self.window = make_panel(runner, parameters), Person()
        self.presenter = SimilarPresenter(self.window, self.panel, packages or Packages(), packages or Packages())
        self.panel.open(self.presenter)
        if warnings_of(self.panel):
            override(self.panel, True)

    @property
    def now(self):
        return self.window.now

    @property
    def parameters(self):
        return self.panel.parameters

    @property
    def said(self) -> str:
        return self.panel.runs.status.text


@pytest.fixture
def chosen(library, bundle, patient):
    """Everything that is needed to find, chosen."""
    return Parameters(
        modelPath=bundle,
        inputVolume=patient.image,
        structures=patient.structures,
        libraryAddress=str(library),
        planDose=patient.dose,
        planFractions=30,
    )


@pytest.fixture
def section(engine, chosen) -> Opened:
    return Opened(BlockingRunner(engine), chosen)


def pseudonym_of(whole: Hospital, number: int) -> str:
    return load_site_key(whole.key).pseudonym(f"PHANTOM-{number:04d}")


def saved(scene) -> str:
    scene.SetSaveToXMLString(1)
    scene.Commit()
    return scene.GetSceneXMLString()


class TestLibrary:
    def test_what_is_in_it_is_told_and_offered(self, section):
        library = section.now.library
        assert library.line.startswith(f"Patients: {PATIENTS}; made with tiny-CT 1.0 (") and not library.is_refused
        assert library.sites == ("lung", "oesophagus") and library.techniques == ("VMAT",)
        assert {"Heart", "Lung_L", "PTV", "SpinalCord"} <= set(library.structures)
        assert section.now.finding.hint == ""

    def test_without_one(self, engine, bundle, patient):
        section = Opened(BlockingRunner(engine), Parameters(modelPath=bundle, inputVolume=patient.image))
        assert section.now.library.line == "" and section.now.finding.hint == "Choose a patient library."
        section.presenter.find()
        assert section.panel.runs.state is RunState.IDLE and section.now.finding.rows == ()

    def test_another_model_is_refused_in_one_sentence(self, section, tmp_path):
        write_tiny_bundle(tmp_path / "other", seed=1)
        section.parameters.modelPath = tmp_path / "other"
        assert section.now.library.is_refused and "another model" in section.now.library.line
        assert "another model" in section.now.finding.hint and "another model" in section.now.add_hint

    def test_what_is_no_library_is_said(self, section, tmp_path):
        section.presenter.choose_library(str(tmp_path / "nowhere.sqlite"))
        assert "There is no library at" in section.now.library.line and section.now.library.is_refused
        (tmp_path / "notes.txt").write_text("this is no library\n" * 100)
        section.presenter.choose_library(str(tmp_path / "notes.txt"))
        assert section.now.library.is_refused and section.now.library.line.count("\n") == 0
        section.presenter.choose_library("ftp://host/library")
        assert "can't be at a 'ftp' address" in section.said

    def test_a_password_is_neither_shown_nor_saved(self, engine, scene, bundle):
        runner = LateRunner(engine)
        section = Opened(runner, Parameters(modelPath=bundle))
        section.presenter.choose_library("postgresql://me:Secret7@127.0.0.1:1/plans?sslmode=disable&password=Secret8")
        kept = "postgresql://me@127.0.0.1:1/plans?sslmode=disable"
        assert section.parameters.libraryAddress == section.now.library.address == kept
        section.presenter.choose_library(kept)  # what the field shows, once more
        runner.answer()
        assert section.now.library.is_refused and "Secret" not in section.now.library.line
        assert "Secret7" in section.presenter.library.address

    def test_without_the_packages_it_says_what_to_install(self, engine, chosen):
        packages = Packages(["SQLAlchemy", "cryptography"])
        runner = BlockingRunner(engine)
        section = Opened(runner, chosen, packages)
        assert section.now.library.missing == "Missing in Slicer's Python: SQLAlchemy and cryptography."
        assert (
            section.now.finding.hint == "Install SQLAlchemy and cryptography first." and section.now.library.can_install
        )
        assert runner.requests == []
        section.presenter.library.install()
        assert packages.installs == 1 and section.now.library.missing == ""
        assert section.now.library.line.startswith(f"Patients: {PATIENTS};")

    def test_a_new_library_and_its_key(self, section, tmp_path, whole):
        section.parameters.siteKeyPath = tmp_path / "keys" / "new.key"
        section.presenter.create_library(tmp_path / "new.sqlite")
        assert section.parameters.libraryAddress == str(tmp_path / "new.sqlite")
        assert (
            section.now.library.line.startswith("Patients: 0; made with tiny-CT") and not section.now.library.is_refused
        )
        assert "back the key up" in section.said
        section.presenter.find()
        assert "holds no patient yet" in section.said
        section.presenter.create_library(tmp_path / "new.sqlite")
        assert "exists already" in section.said
        section.parameters.siteKeyPath = tmp_path / "other.key"  # beside the library, where one copy takes both
        section.presenter.create_library(tmp_path / "other.sqlite")
        assert "own folder" in section.said
        assert not (tmp_path / "other.key").exists() and not (tmp_path / "other.sqlite").exists()


class TestFinding:
    def test_the_table(self, section, whole, scene):
        section.presenter.find()
        rows = section.now.finding.rows
        assert len(rows) == PATIENTS and section.said.startswith(f"Found {PATIENTS} patients in")
        assert {row.pseudonym for row in rows} == {pseudonym_of(whole, number) for number in PLANS}
        assert all(re.fullmatch(r"\d+ %", row.closer_than) for row in rows)
        assert [float(row.divergence) for row in rows] == sorted(float(row.divergence) for row in rows)
        first = rows[0]
        assert first.picture.startswith(b"\x89PNG") and first.slices == "12 of 12" and first.geometry.endswith(" mm")
        assert first.level.endswith("of the lungs' middle") and "pairs of different patients" in first.meaning
        assert first.plan.endswith("VMAT, 60 Gy in 30") and first.structures.startswith("6: ")
        assert "PTV D95 " in first.doses and "Heart " in first.doses
        assert "pairs of different patients" in section.now.finding.summary
        (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode", scene)
        assert table.GetName() == "planning CT similar patients"

    def test_filters_and_ranking_are_what_the_person_chose(self, section, whole):
        section.presenter.choose_site("oesophagus")
        section.presenter.find()
        assert [row.pseudonym for row in section.now.finding.rows] == [pseudonym_of(whole, 8)]
        section.presenter.choose_site("")
        section.parameters.rankBy, section.parameters.neighbourCount = RankBy.GEOMETRY, 3
        section.presenter.find()
        distances = [float(row.geometry.removesuffix(" mm")) for row in section.now.finding.rows]
        assert len(distances) == 3 and distances == sorted(distances)
        section.parameters.filterLowestDose = 61.0
        section.presenter.find()
        assert "loosen the filters" in section.said and section.now.finding.rows == ()
        section.parameters.filterLowestDose, section.parameters.filterHighestDose = 0.0, 60.0
        section.presenter.choose_structures(("Heart", "PTV"))
        section.presenter.find()
        assert len(section.now.finding.rows) == 3 and section.now.filters.structures == ("Heart", "PTV")

    def test_searching_is_beside_the_window_and_can_be_cancelled(self, engine, chosen, scene):
        runner = LateRunner(engine)
        section = Opened(runner, chosen)
        runner.answer()  # the look into the library
        section.presenter.find()
        assert isinstance(runner.requests[-1], Aside) and not section.now.is_idle  # the library may be slow to open
        runner.answer()
        assert isinstance(runner.requests[-1], EncodeRequest) and not section.now.is_idle
        runner.answer()
        assert isinstance(runner.requests[-1], Aside) and section.panel.runs.state is RunState.RUNNING
        section.panel.runs.cancel()
        runner.answer()
        assert section.said.startswith("Cancelled") and section.now.finding.rows == () and section.now.is_idle
        assert slicer.util.getNodesByClass("vtkMRMLTableNode", scene) == []

    def test_a_patient_of_the_library_is_left_out_where_the_key_tells(self, section, whole, archive, scene):
        own = import_patient(scene, folder_of(archive, 2))
        section.parameters.inputVolume, section.parameters.structures = own.image, own.structures
        section.parameters.siteKeyPath = whole.key
        section.presenter.find()
        assert pseudonym_of(whole, 2) not in {row.pseudonym for row in section.now.finding.rows}
        assert "left out of the ranking" in section.said

    def test_what_was_found_belongs_to_its_input_and_library(self, section, archive, scene):
        section.presenter.find()
        other = import_patient(scene, folder_of(archive, 1))
        section.parameters.inputVolume = other.image
        assert section.now.finding.rows == () and section.now.finding.reveal_hint == "Find similar patients first."
        section.presenter.find()
        assert section.now.finding.rows
        scene.RemoveNode(slicer.util.getNode("planning CT similar patients_1"))
        section.panel.refresh()
        assert section.now.finding.rows == ()

    def test_a_scene_that_closes_takes_everything_along(self, section, scene):
        section.presenter.find()
        section.panel.scene_closes()
        scene.Clear(0)
        section.panel.show(Parameters(libraryAddress=section.presenter.library.address))
        assert section.now.finding.rows == () and section.now.doses.rows == ()


class TestDisclosure:
    @pytest.fixture
    def found(self, section, whole) -> Opened:
        section.parameters.siteKeyPath = whole.key
        section.presenter.find()
        return section

    def reveals(self, library) -> list[tuple[str, str]]:
        with open_library(library) as opened:
            return [(entry.pseudonym, entry.why) for entry in opened.reveals()]

    def test_without_the_key_nobody_learns_who_it_is(self, section, library):
        section.presenter.find()
        assert "site's key" in section.now.finding.reveal_hint
        section.presenter.reveal(0)
        section.presenter.load(0)
        assert section.window.asked == [] and self.reveals(library) == []

    def test_revealing_is_logged_and_leaves_the_scene_unaware(self, found, library, scene):
        name = found.now.finding.rows[1].pseudonym
        found.presenter.reveal(1)
        assert re.fullmatch(rf"{name} is the patient with the ID PHANTOM-\d+\.", found.now.finding.identity)
        assert self.reveals(library) == [(name, "to compare the plans")]
        assert found.now.finding.identity.split()[-1].rstrip(".") not in saved(scene)
        found.presenter.find()
        assert found.now.finding.identity == ""

    def test_without_a_reason_nothing_happens(self, found, library):
        found.window.reason = ""
        found.presenter.reveal(0)
        found.presenter.load(0)
        found.presenter.load(-1)
        assert len(found.window.asked) == 2 and self.reveals(library) == []

    def test_contours_stay_with_their_patient(self, found, scene, patient, views):
        found.presenter.load(0)
        found.presenter.load(1)
        names = [found.now.finding.rows[row].pseudonym for row in (0, 1)]
        first, second = (slicer.util.getNode(f"{name} structures").GetDisplayNode() for name in names)
        assert not first.GetVisibility() and second.GetVisibility()
        right = next(
            node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == "Yellow"
        )
        assert second.GetNumberOfViewNodeIDs() == 1 and second.IsDisplayableInView(right.GetID())

    def test_a_double_click_loads_the_patient_beside(self, found, library, scene, patient, views):
        name = found.now.finding.rows[0].pseudonym
        found.presenter.load(0)
        assert found.said.startswith(f"{name} lies beside the patient")
        node = slicer.util.getNode(f"{name} CT")
        assert node.GetParentTransformNode().GetName() == f"{name} alignment"
        left, right = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
        assert (left.GetBackgroundVolumeID(), right.GetBackgroundVolumeID()) == (patient.image.GetID(), node.GetID())
        assert left.GetLinkedControl() and right.GetLinkedControl()
        assert slicer.util.getNode(f"{name} structures") and slicer.util.getNode(f"{name} dose")
        assert self.reveals(library) == [(name, "to compare the plans")]
        assert found.now.finding.rows, "the input is what it was"

    def test_a_key_of_another_site(self, found, tmp_path):
        from SlicerVAELib.library.access import create_site_key

        found.parameters.siteKeyPath = create_site_key(tmp_path / "elsewhere" / "site.key").path
        found.presenter.reveal(0)
        assert "made under another key" in found.said and found.now.finding.identity == ""


class TestDoses:
    @pytest.fixture
    def found(self, section, plot_view) -> Opened:
        section.presenter.find()
        return section

    def test_histograms_and_achievable_dose(self, found, plot_view):
        assert {"Heart", "PTV"} <= set(found.now.doses.structures) and found.now.doses.hint == ""
        found.presenter.compare_doses()
        chart = plot_view.GetPlotChartNode()
        names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
        assert sum(name.startswith("Heart, ") for name in names) == PATIENTS + 1
        assert {name.partition(", ")[0] for name in names} == set(found.now.doses.structures)
        assert not chart.GetLegendVisibility(), "it would cover the curves"
        rows = found.now.doses.rows
        organs = {row.cells[0] for row in rows}
        assert "Heart" in organs and "External" not in organs
        median, quartiles, own, place, patients = rows[0].cells[2:]
        low, high = map(float, quartiles.split(" – "))
        assert low <= float(median) <= high and patients == str(PATIENTS)
        assert place == ("within" if low <= float(own) <= high else "below" if float(own) < low else "above")
        assert rows[0].is_marked == (place != "within")
        assert found.now.doses.summary.startswith(f"In Gy; plans of 30 fractions compared: {PATIENTS}.")

    def test_one_plot_at_a_time(self, found, plot_view, scene):
        found.presenter.compare_doses()
        found.presenter.plot_structure("Heart")
        found.presenter.compare_doses()
        chart = plot_view.GetPlotChartNode()
        assert chart.GetNumberOfPlotSeriesNodes() == PATIENTS + 1 and chart.GetLegendVisibility()
        found.presenter.find()
        found.presenter.compare_doses()
        assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode", scene)) == 1
        assert len(slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode", scene)) == PATIENTS + 1

    def test_equivalent_dose(self, found, plot_view):
        found.presenter.compare_doses()
        physical = {row.cells[:2]: float(row.cells[2]) for row in found.now.doses.rows}
        found.parameters.equivalentDose, found.parameters.alphaBeta = True, 2.0
        found.presenter.compare_doses()
        assert found.now.doses.summary.startswith("In Gy EQD2, α/β = 2 Gy")
        assert plot_view.GetPlotChartNode().GetXAxisTitle() == "EQD2 (Gy, alpha/beta = 2 Gy)"
        assert {row.cells[:2]: float(row.cells[2]) for row in found.now.doses.rows} != physical

    def test_own_dose_of_unknown_fractions_is_compared_with_nobodys(self, found):
        found.parameters.planFractions = 0
        found.presenter.compare_doses()
        assert "Enter the fractions" in found.now.doses.summary
        assert {row.cells[4] for row in found.now.doses.rows} == {"–"}

    def test_what_is_no_dose(self, found, patient):
        found.parameters.planDose = patient.image
        found.presenter.compare_doses()
        assert "is not a dose" in found.said and found.now.doses.rows == ()

    def test_contours_are_held_against_the_library(self, found):
        found.presenter.check_contours()
        rows = found.now.contours.rows
        volumes = {row.cells[0]: row for row in rows if row.cells[1] == "volume"}
        assert set(volumes) >= {"Heart", "Lung_L", "PTV"} and volumes["Heart"].cells[2].endswith(" cm³")
        assert volumes["Heart"].cells[5] == str(PATIENTS)
        marked = sum(row.is_marked for row in rows)
        assert found.now.contours.summary.startswith(f"Outliers among {len(rows)} figures: {marked}.")

    def test_an_outlying_contour_is_marked(self, section, patient, plot_view):
        segmentation = patient.structures.GetSegmentation()
        heart = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName("Heart"))
        lines = heart.GetRepresentation("Planar contour")
        points = vtk_to_numpy(lines.GetPoints().GetData())
        middle = points.mean(axis=0)
        points[:, :2] = middle[:2] + 0.4 * (points[:, :2] - middle[:2])
        section.presenter.find()
        section.presenter.check_contours()
        row = next(row for row in section.now.contours.rows if row.cells[:2] == ("Heart", "volume"))
        assert row.is_marked and float(row.cells[4]) < -3.5
        assert section.now.contours.rows[0].is_marked, "outliers come first"

    def test_without_structures_there_is_nothing_to_check(self, section):
        section.parameters.structures = None
        section.presenter.find()
        assert "structure set" in section.now.contours.hint
        section.presenter.check_contours()
        assert section.now.contours.rows == ()


class TestAdding:
    @pytest.fixture
    def ready(self, section, whole) -> Opened:
        section.parameters.siteKeyPath = whole.key
        section.parameters.planSite, section.parameters.planPrescription = "lung", 55.0
        section.parameters.patientTags = "trial, left arm "
        return section

    def test_the_patient_is_added_once_what_is_kept_was_read(self, ready, library, whole):
        assert ready.now.add_hint == ""
        ready.presenter.add()
        (question,) = ready.window.asked
        assert "Heart" in question and "encrypted only" in question and "trial and left arm" in question
        assert "no pictures" in question  # nobody said that these images show no head
        name = pseudonym_of(whole, PATIENTS + 1)
        assert ready.said.startswith(f"Added as {name}.")
        assert ready.now.library.line.startswith(f"Patients: {PATIENTS + 1};")
        with open_library(library) as opened:
            (facts,) = opened.facts([name])
        assert facts.plans[0].prescription_gy == 55.0 and facts.plans[0].fractions == 30
        assert {dose.structure for dose in facts.plans[0].doses} >= {"Heart", "PTV"} and facts.tags == (
            "left arm",
            "trial",
        )
        ready.presenter.add()
        assert "in the library already" in ready.said

    def test_no_is_no(self, ready, library):
        ready.window.answer = False
        ready.presenter.add()
        with open_library(library) as opened:
            assert len(opened.pseudonyms()) == PATIENTS
        assert ready.panel.runs.state is RunState.IDLE

    def test_it_needs_the_key_and_a_patient_with_an_id(self, section, whole, add_volume):
        assert "site's key" in section.now.add_hint
        section.presenter.add()
        assert section.window.asked == []
        section.parameters.siteKeyPath = whole.key
        section.parameters.planDose = section.parameters.structures = None
        section.parameters.inputVolume = add_volume(
            np.random.default_rng(0).integers(-1000, 600, (6, 24, 24)).astype(np.int16),
            np.diag([-8.0, -8.0, 5.0, 1.0]),
            "bare",
        )
        override(section.panel, True)
        section.presenter.add()
        assert "'bare' belongs to no patient with an ID" in section.said and section.window.asked == []

    def test_cancelled_before_it_is_written(self, engine, chosen, whole, library):
        runner = LateRunner(engine)
        chosen.__dict__["siteKeyPath"] = whole.key
        section = Opened(runner, chosen)
        runner.answer()
        section.presenter.add()
        section.panel.runs.cancel()
        runner.answer()
        assert section.said.startswith("Cancelled; nothing was changed")
        with open_library(library) as opened:
            assert len(opened.pseudonyms()) == PATIENTS


def test_the_same_as_a_script(section, engine, chosen, library, bundle):
    from SlicerVAELib.scene.logic import SceneLogic

    section.presenter.find()
    ranking = SceneLogic(engine).rankSimilarPatients(
        chosen.inputVolume, library, chosen.structures, bundle=bundle, count=10
    )
    assert [one.pseudonym for one in ranking.neighbours.nearest] == [row.pseudonym for row in section.now.finding.rows]


def test_the_section_opens_without_what_the_library_needs_and_without_torch():
    code = (
        "import sys\n"
        "for name in ('sqlalchemy', 'cryptography', 'torch'):\n    sys.modules[name] = None\n"
        "import SlicerVAELib.panel.presenters.similar\n"
        "assert not {'SimpleITK', 'pydicom'} & set(sys.modules), 'slow to import'\n"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
