"""The patient library in the scene: real MRML, a real SQLite library, phantom patients as DICOM, the real engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from slicervae.phantom import write_cohort
from SlicerVAELib.core.engine import EncodedVolume
from SlicerVAELib.core.equivalent_dose import eqd2
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.rtdose import read_doses
from SlicerVAELib.library.access import load_site_key, open_library
from SlicerVAELib.library.records import PlanFacts
from SlicerVAELib.library.selection import Selection
from SlicerVAELib.scene.dvh_plots import THICK, THIN, Fractionation, doses_of, plot_dvhs
from SlicerVAELib.scene.library_addition import prepare_addition
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.neighbour_nodes import load_similar_patient
from SlicerVAELib.scene.segmentations import masks_from_node
from SlicerVAELib.scene.similar_patients import RankingOptions, prepare_ranking
from SlicerVAELib.scene.volumes import volume_from_node
from Testing.headless.hospital import encoded_patients, folder_of, open_hospital
from Testing.headless.scene_patients import import_patient
from Testing.headless.tiny_bundle import write_tiny_bundle

PATIENTS, SLICES = 3, 12
PLANS = {
    number: PlanFacts(0, site="lung", intent="CURATIVE", prescription_gy=60.0, fractions=fractions, technique=technique)
    for number, (fractions, technique) in enumerate([(30, "VMAT"), (30, "VMAT"), (20, "IMRT")], start=1)
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ward-7") / "cohort"
    write_cohort(folder, patients=PATIENTS, seed=5, size=48, slices=SLICES)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "thorax"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def encoded(archive, bundle, engine) -> dict[int, EncodedVolume]:
    return encoded_patients(archive, bundle, engine, PATIENTS)


@pytest.fixture(scope="module")
def whole(archive, bundle, encoded, tmp_path_factory) -> Path:
    """A folder with the site's key and a library that the patients were added to from a scene."""
    return open_hospital(tmp_path_factory.mktemp("hospital"), archive, bundle, encoded, PLANS).library.parent


@pytest.fixture
def key(whole) -> Path:
    return whole / "keys" / "site.key"


@pytest.fixture
def library(whole, tmp_path, monkeypatch) -> Path:
    """The library, for this test alone."""
    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "cache"))
    shutil.copy(whole / "library.sqlite", tmp_path / "library.sqlite")
    return tmp_path / "library.sqlite"


@pytest.fixture
def patient(scene, archive):
    """Patient 1 in the scene, lying 10 mm to the right, 5 to the front and 20 to the head of where the files say."""
    return import_patient(scene, folder_of(archive, 1), patient_id="NEWCOMER", moved_mm=(10.0, 5.0, 20.0))


@pytest.fixture
def rank(patient, library, bundle, encoded):
    """Ranks the library's patients for ``patient``."""
    moved = encoded[1].slice_positions_mm + np.array([-10.0, -5.0, 20.0])  # LPS
    answer = EncodedVolume(**(vars(encoded[1]) | {"slice_positions_mm": moved}))

    def run(node=None, structures=patient.structures, key=None, **options):
        job = prepare_ranking(
            node or patient.image, library, bundle, structures=structures, key=key, options=RankingOptions(**options)
        )
        return job.publish(answer)

    return run


def pseudonym_of(key: Path, number: int) -> str:
    return load_site_key(key).pseudonym(f"PHANTOM-{number:04d}")


def column(table, name: str) -> list[str]:
    found = table.GetTable().GetColumnByName(name)
    assert found is not None, name
    return [found.GetVariantValue(row).ToString() for row in range(found.GetNumberOfValues())]


def saved(scene) -> str:
    """The scene as it would be saved, with the whole hierarchy."""
    scene.SetSaveToXMLString(1)
    scene.Commit()
    return scene.GetSceneXMLString()


def ids_of(scene) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def items_of(scene) -> int:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    children = vtk.vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), children, True)
    return children.GetNumberOfIds()


def refuse(scene, sentence: str, action) -> None:
    """The action raises that sentence and leaves the scene as it was."""
    before = ids_of(scene), items_of(scene)
    with pytest.raises(UserError, match=sentence):
        action()
    assert (ids_of(scene), items_of(scene)) == before


def identifiers_of(folder: Path) -> set[str]:
    """What could name the patient of a folder: ID, name, dates, unique UIDs, and where the files lie."""
    found = {str(folder), folder.name}
    for path in folder.rglob("*.dcm"):
        for element in pydicom.dcmread(path, stop_before_pixels=True).iterall():
            is_own = element.VR in ("UI", "PN", "DA") or element.keyword == "PatientID"
            if is_own and len(str(element.value)) > 4 and not str(element.value).startswith("1.2.840.10008."):
                found.add(str(element.value))
    return found


def test_the_same_anatomy_comes_first(rank, key, patient):
    ranking = rank()
    table = ranking.table
    assert column(table, "Patient")[0] == pseudonym_of(key, 1)
    assert sorted(column(table, "Patient")) == sorted(pseudonym_of(key, number) for number in (1, 2, 3))
    assert column(table, "Rank") == ["1", "2", "3"]
    divergences = [float(value) for value in column(table, "KL (nats)")]
    assert divergences == sorted(divergences) and divergences[0] < 1e-9 < divergences[1]
    assert column(table, "Matched slices")[0] == f"{SLICES} of {SLICES}"
    assert column(table, "Geometry (mm)")[0] == "0.0"
    assert table.GetName() == "planning CT similar patients"
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(table.GetScene())
    parents = [tree.GetItemParent(tree.GetItemByDataNode(node)) for node in (table, patient.image)]
    assert parents[0] == parents[1]
    assert table.GetAttribute("SlicerVAE.Bundle") == "tiny-CT"


def test_the_table_tells_the_plans(rank, key, archive):
    ranking = rank()
    row = column(ranking.table, "Patient").index(pseudonym_of(key, 3))
    assert column(ranking.table, "Prescription")[row] == "60 Gy in 20 fractions"
    assert column(ranking.table, "Technique")[row] == "IMRT"
    assert column(ranking.table, "Site")[row].endswith("lung")
    (dose,) = read_doses(folder_of(archive, 3), None)
    assert 0 < float(column(ranking.table, "Heart mean (Gy)")[row]) < float(column(ranking.table, "PTV D95 (Gy)")[row])
    assert float(column(ranking.table, "PTV D95 (Gy)")[row]) < dose.volume.array.max()
    assert any("differ in dose per fraction" in notice for notice in ranking.notices)
    assert any("too small" in notice for notice in ranking.notices)


def test_a_patient_who_is_in_the_library_is_left_out_where_the_key_tells(rank, key, scene, archive):
    own = import_patient(scene, folder_of(archive, 2), patient_id="PHANTOM-0002")
    assert pseudonym_of(key, 2) in column(rank(own.image, own.structures).table, "Patient")
    ranking = rank(own.image, own.structures, key=key)
    assert pseudonym_of(key, 2) not in column(ranking.table, "Patient")
    assert any("left out of the ranking" in notice for notice in ranking.notices)


@pytest.mark.parametrize("by", ["geometry", "both"])
def test_geometry_ranks_too(rank, key, by):
    ranking = rank(by=by, count=2)
    distances = [float(value) for value in column(ranking.table, "Geometry (mm)")]
    assert column(ranking.table, "Patient")[0] == pseudonym_of(key, 1)
    assert len(distances) == 2 and distances[0] == 0.0 < distances[1]


def test_geometry_needs_structures(rank, scene):
    refuse(scene, "needs a target and an organ", lambda: rank(structures=None, by="geometry"))


def test_filters(rank, key, scene):
    assert column(rank(filters=Selection(technique="imrt")).table, "Patient") == [pseudonym_of(key, 3)]
    refuse(scene, "loosen the filters", lambda: rank(filters=Selection(site="breast")))


def test_what_can_change_while_the_model_computes(patient, library, bundle, encoded, scene):
    job = prepare_ranking(patient.image, library, bundle)
    cancel = Cancel()
    cancel.request()
    before = ids_of(scene)
    with pytest.raises(Cancelled):
        job.publish(encoded[1], cancel=cancel)
    assert ids_of(scene) == before
    library.rename(library.with_suffix(".moved"))
    refuse(scene, "library.sqlite", lambda: job.publish(encoded[1]))
    scene.RemoveNode(patient.image)
    refuse(scene, "'planning CT' was removed", lambda: job.publish(encoded[1]))


def test_a_library_of_another_model(patient, library, key, tmp_path, scene):
    write_tiny_bundle(tmp_path / "other", seed=1)
    refuse(scene, "was made with tiny-CT", prepare_ranking(patient.image, library, tmp_path / "other").check_library)
    addition = prepare_addition(patient.image, library, tmp_path / "other", key=key)
    refuse(scene, "was made with", addition.check_library)


def test_the_neighbour_lies_on_the_query(rank, key, patient, archive):
    ranking = rank()
    patient.image.GetDisplayNode().AutoWindowLevelOff()
    patient.image.GetDisplayNode().SetWindowLevel(321, 40)
    nodes = load_similar_patient(ranking, pseudonym_of(key, 1), key, "to compare the plans")
    moved = vtk.vtkMatrix4x4()
    nodes.alignment.GetMatrixTransformToWorld(moved)
    expected = np.eye(4)
    expected[:3, 3] = (10.0, 5.0, 20.0)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(moved), expected, atol=1e-6)
    here, there = volume_from_node(nodes.volume), volume_from_node(patient.image)
    assert np.array_equal(here.array, there.array) and here.modality is Modality.CT
    assert here.geometry.matches(there.geometry)
    for node in (nodes.volume, nodes.structures, nodes.dose):
        assert node.GetTransformNodeID() == nodes.alignment.GetID()
    (dose,) = read_doses(folder_of(archive, 1), None)
    assert np.array_equal(slicer.util.arrayFromVolume(nodes.dose), dose.volume.array)
    assert volume_from_node(nodes.dose).modality is Modality.DOSE
    assert nodes.volume.GetDisplayNode().GetWindow() == 321


def test_the_neighbours_structures_are_those_of_the_files(rank, key, patient):
    nodes = load_similar_patient(rank(), pseudonym_of(key, 1), key, "to compare the plans")
    segmentation = nodes.structures.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert set(names) == {"External", "Lung_L", "Lung_R", "Heart", "SpinalCord", "PTV"}
    here = masks_from_node(nodes.structures, volume_from_node(nodes.volume))
    there = masks_from_node(patient.structures, volume_from_node(patient.image))
    assert all(np.array_equal(here[name], there[name]) for name in ("Heart", "Lung_L", "PTV"))


def test_nothing_in_the_scene_names_the_neighbour(rank, key, scene, archive):
    ranking = rank()
    nodes = load_similar_patient(ranking, pseudonym_of(key, 2), key, "to compare the plans")
    plot_dvhs(ranking)
    for node in (nodes.volume, nodes.structures, nodes.dose, nodes.alignment):
        assert node.GetName().startswith(pseudonym_of(key, 2))
    text = saved(scene)
    assert pseudonym_of(key, 2) in text and "NEWCOMER" in text
    assert not [identifier for identifier in identifiers_of(folder_of(archive, 2)) if identifier in text]


def test_the_neighbour_belongs_to_no_patient_of_the_scene(rank, key, scene, library, bundle):
    nodes = load_similar_patient(rank(), pseudonym_of(key, 2), key, "to compare the plans")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = tree.GetItemParent(tree.GetItemByDataNode(nodes.volume))
    assert tree.GetItemName(folder) == "Similar patients"
    assert tree.GetItemParent(folder) == tree.GetSceneItemID()
    again = load_similar_patient(rank(), pseudonym_of(key, 3), key, "to compare the plans")
    assert tree.GetItemParent(tree.GetItemByDataNode(again.volume)) == folder
    refuse(scene, "belongs to no patient", lambda: prepare_addition(nodes.volume, library, bundle, key=key))


def test_loading_is_a_reveal(rank, key, scene, library):
    ranking = rank()
    name = pseudonym_of(key, 3)
    load_similar_patient(ranking, name, key, "to compare the plans")
    refuse(scene, "say why", lambda: load_similar_patient(ranking, name, key, " "))
    with open_library(library) as opened:
        (entry,) = opened.reveals()
    assert (entry.pseudonym, entry.why) == (name, "to compare the plans")
    refuse(scene, "can't be read", lambda: load_similar_patient(ranking, name, key.with_name("lost"), "to see"))
    refuse(scene, "not among the ranked", lambda: load_similar_patient(ranking, "P-NOBODY", key, "to see"))


def test_images_that_are_no_longer_where_they_were(rank, key, scene, library, archive, tmp_path):
    ranking = rank()
    place = folder_of(archive, 3)
    place.rename(tmp_path / "away")
    try:
        refuse(scene, "does not exist", lambda: load_similar_patient(ranking, pseudonym_of(key, 3), key, "to see"))
    finally:
        (tmp_path / "away").rename(place)
    with open_library(library) as opened:
        assert [entry.why for entry in opened.reveals()] == ["to see"]


def test_a_query_that_moved_since(rank, key, scene, patient):
    ranking = rank()
    patient.image.SetOrigin(0.0, 0.0, 0.0)
    refuse(scene, "moved or removed", lambda: load_similar_patient(ranking, pseudonym_of(key, 2), key, "to see"))


def test_a_structure_set_that_is_damaged_does_not_keep_the_images_away(rank, key, archive, tmp_path):
    ranking = rank()
    file = folder_of(archive, 2) / "RTSTRUCT.dcm"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    try:
        nodes = load_similar_patient(ranking, pseudonym_of(key, 2), key, "to see")
    finally:
        file.write_bytes(content)
    assert nodes.structures is None and nodes.dose is None
    assert any("Loaded without structures and dose" in notice for notice in nodes.notices)


def test_a_clinics_own_name_of_a_structure_stays_out_of_the_scene(rank, key, scene, archive):
    file = folder_of(archive, 2) / "RTSTRUCT.dcm"
    content = file.read_bytes()
    dataset = pydicom.dcmread(file)
    number = next(n for n, roi in enumerate(dataset.StructureSetROISequence, 1) if roi.ROIName == "Heart")
    dataset.StructureSetROISequence[number - 1].ROIName = "heart of Mrs Miller"
    dataset.save_as(file)
    try:
        nodes = load_similar_patient(rank(), pseudonym_of(key, 2), key, "to see")
    finally:
        file.write_bytes(content)
    segmentation = nodes.structures.GetSegmentation()
    assert segmentation.GetNthSegment(number - 1).GetName() == f"structure {number}"
    assert "Miller" not in saved(scene)


def curve_of(plot, index: int) -> tuple[np.ndarray, np.ndarray]:
    table = plot.tables[index].GetTable()
    return vtk_to_numpy(table.GetColumn(0)), vtk_to_numpy(table.GetColumn(1))


def test_histograms_of_neighbours_and_of_the_patient(rank, key, patient, library):
    ranking = rank()
    plot = plot_dvhs(ranking, ["Heart"], own=doses_of(ranking, volume_from_node(patient.dose)))
    assert plot.chart.GetNumberOfPlotSeriesNodes() == PATIENTS + 1
    names = [series.GetName() for series in plot.series]
    assert names[-1] == "Heart, planning CT" and names[0] == f"Heart, {pseudonym_of(key, 1)}"
    assert [series.GetLineWidth() for series in plot.series] == [THIN] * PATIENTS + [THICK]
    assert len({series.GetColor() for series in plot.series}) == 1
    for series, table in zip(plot.series, plot.tables, strict=True):
        assert series.GetTableNode() is table
        assert table.GetTable().GetColumnByName(series.GetXColumnName()) is not None
        assert table.GetTable().GetColumnByName(series.GetYColumnName()) is not None
    with open_library(library) as opened:
        (facts,) = opened.facts([pseudonym_of(key, 1)])
    kept = next(dose for dose in facts.plans[0].doses if dose.structure == "Heart")
    doses, percent = curve_of(plot, 0)
    assert np.array_equal(doses, kept.curve.dose_gy)
    assert percent[0] == 100.0 and np.allclose(percent[10], kept.percent_at(doses[10]))
    assert np.allclose(curve_of(plot, PATIENTS)[1], percent)  # the patient is the first one under another ID
    assert "per fraction" in plot.notices[0]


def test_equivalent_doses(rank, key, patient):
    ranking = rank()
    own = doses_of(ranking, volume_from_node(patient.dose))
    plot = plot_dvhs(ranking, ["PTV"], own=own, equivalent=Fractionation(10.0))
    names = [series.GetName() for series in plot.series]
    assert len(names) == PATIENTS and "planning CT" in plot.notices[0]
    index = names.index(f"PTV, {pseudonym_of(key, 3)}")
    doses, _ = curve_of(plot, index)
    physical, _ = curve_of(plot_dvhs(rank(), ["PTV"]), index)
    assert np.allclose(doses, eqd2(physical, 20, 10.0))
    assert plot.chart.GetXAxisTitle() == "EQD2 (Gy, alpha/beta = 10 Gy)"


def test_histograms_that_nobody_has(rank, scene, patient):
    ranking = rank()
    refuse(scene, "Nobody has a dose in 'Hart'; did you mean 'Heart'", lambda: plot_dvhs(ranking, ["Hart"]))
    refuse(scene, "is not a dose", lambda: doses_of(ranking, volume_from_node(patient.image)))


def test_what_the_library_knows_of_an_added_patient(library, key, archive):
    with open_library(library, load_site_key(key)) as opened:
        name = pseudonym_of(key, 1)
        record, (summary, *_) = opened.record(name), opened.list()
        identity = opened.reveal(name, "to test")
    (series,) = record.series
    volume = read_volume(folder_of(archive, 1) / "CT")
    assert series.facts.geometry.matches(volume.geometry) and series.facts.body_part == "CHEST"
    assert len(series.posteriors) == SLICES and len(series.thumbnails) > 3
    assert (record.tags, summary.modalities) == (("trial",), ("CT",))
    assert record.plans[0].prescription_gy == 60.0 and record.plans[0].fractions == 30
    assert {dose.structure for dose in record.plans[0].doses} >= {"PTV", "Heart", "Lung_L"}
    assert identity.patient_id == "PHANTOM-0001"
    assert identity.series[0].series_uid == volume.source.series_uid
    assert identity.series[0].study_uid == volume.source.study_uid
    assert identity.series[0].frame_of_reference_uid == volume.source.frame_of_reference_uid


def test_adding_the_patient_of_the_scene(scene, archive, library, key, bundle, engine):
    new = import_patient(scene, folder_of(archive, 1), patient_id="NEWCOMER")
    before = ids_of(scene)
    options = {"bundle": bundle, "key": key, "imagesFrom": folder_of(archive, 1) / "CT"}
    added = SceneLogic(engine).addToLibrary(new.image, library, **options)
    assert ids_of(scene) == before
    with open_library(library) as opened:
        assert opened.pseudonyms()[-1] == added.pseudonym == load_site_key(key).pseudonym("NEWCOMER")
        assert opened.record(added.pseudonym).series[0].thumbnails == ()  # nobody said that it shows no face
    with pytest.raises(UserError, match="in the library already"):
        SceneLogic(engine).addToLibrary(new.image, library, **options)


def test_a_patient_who_can_not_be_added(scene, add_volume, archive, library, key, bundle, encoded):
    bare = add_volume(np.zeros((4, 8, 8), np.int16), name="phantom of water")
    refuse(scene, "'phantom of water' belongs to no patient", lambda: prepare_addition(bare, library, bundle, key=key))
    new = import_patient(scene, folder_of(archive, 1), patient_id="NEWCOMER")
    job = prepare_addition(new.image, library, bundle, key=key, tags=["son of newcomer"])
    refuse(scene, "names the patient", lambda: job.publish(encoded[1]))
    job = prepare_addition(new.image, library, bundle, key=key)
    slicer.util.arrayFromVolume(new.image)[0] = 0
    slicer.util.arrayFromVolumeModified(new.image)
    refuse(scene, "was edited", lambda: job.publish(encoded[1]))
    with open_library(library) as opened:
        assert len(opened.pseudonyms()) == PATIENTS


def test_the_scene_needs_none_of_the_librarys_packages_until_a_library_is_opened(library):
    code = (
        "import sys; sys.modules['sqlalchemy'] = sys.modules['cryptography'] = None\n"
        "import SlicerVAELib.scene.logic\n"
        "from SlicerVAELib.library.access import open_library\n"
        "from SlicerVAELib.core.errors import UserError\n"
        "try:\n    open_library(sys.argv[1])\n"
        "except UserError as error:\n    print(error)\n"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(library)], env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "needs the package SQLAlchemy" in done.stdout
