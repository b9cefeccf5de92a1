"""The presenters of the sections on the real scene, engine and parameters' fields; only the drawing is recorded."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import NetworkDescription
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.panel.maps_run import OVERRIDDEN
from SlicerVAELib.panel.offers import AnomalyMethod
from SlicerVAELib.panel.presenters.anomalies import AnomaliesPresenter
from SlicerVAELib.panel.presenters.input import InputPresenter
from SlicerVAELib.panel.presenters.model import ModelPresenter
from SlicerVAELib.panel.presenters.reconstruct import ReconstructPresenter
from SlicerVAELib.panel.readiness import confirm_structures, override, warnings_of, what_a_run_lacks
from SlicerVAELib.panel.state import RunState
from SlicerVAELib.panel.strip import strip_state
from SlicerVAELib.scene import slice_views
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.provenance import provenance_of
from SlicerVAELib.scene.segmentations import masks_from_node
from SlicerVAELib.scene.volumes import volume_from_node
from Testing.headless.panel_helper import BlockingRunner, LateRunner, Packages, Parameters, Window, make_panel
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest


@pytest.fixture
def ct(add_volume):
    array = np.random.default_rng(0).integers(-1000, 600, (10, 30, 40), dtype=np.int16)
    node = add_volume(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture
def runner(engine):
    return BlockingRunner(engine)


@pytest.fixture
def panel(runner, ct, ct_bundle):
    panel = make_panel(runner, Parameters(modelPath=ct_bundle, inputVolume=ct))
    override(panel, True)
    return panel


def opened(panel, kind, *arguments):
    window = Window()
    presenter = kind(window, panel, *arguments)
    panel.open(presenter)
    return presenter, window


def volumes(scene) -> list[str]:
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)]


def composites(scene):
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)


def add_segmentation(ct, names):
    """A segmentation with a block of voxels for each name, side by side in slices 3 to 5."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "structures")
    node.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
    matrix = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    for number, name in enumerate(names):
        image = slicer.vtkOrientedImageData()
        image.SetExtent(5, 9, 5 + 3 * number, 7 + 3 * number, 3, 5)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().Fill(1)
        image.SetImageToWorldMatrix(matrix)
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment)
    return node


class TestModel:
    def test_introduces_itself(self, panel):
        _, window = opened(panel, ModelPresenter)
        card = dict(window.now.card)
        assert card["Model"] == "tiny 1.0 (vae50)" and card["For"] == "CT chest, axial slices"
        assert card["Field of view"].startswith("384 × 384 mm") and "1 patient" in card["Trained on"]
        assert "none" in card["Calibration"] and card["Priors"] == "standard"
        assert window.now.complaint == "" and not window.now.has_demonstration

    def test_what_is_no_model_is_said(self, panel, tmp_path):
        _, window = opened(panel, ModelPresenter)
        panel.parameters.modelPath = tmp_path
        assert str(tmp_path) in window.now.complaint and window.now.card == ()
        assert what_a_run_lacks(panel) == "Choose another model."
        panel.parameters.modelPath = Path()
        assert window.now.complaint == "" and what_a_run_lacks(panel) == "Choose a model."

    def test_built_in_model(self, panel, ct_bundle):
        panel.parameters.modelPath = Path()
        presenter, window = opened(panel, ModelPresenter, ct_bundle)
        assert window.now.has_demonstration and window.now.card == ()
        presenter.use_demonstration()
        assert dict(window.now.card)["Model"] == "tiny 1.0 (vae50)"

    def test_free_memory_is_asked_for_when_pressed(self, panel, runner):
        presenter, window = opened(panel, ModelPresenter)
        assert window.now.memory.startswith("Processor: ") and runner.requests == []
        presenter.ask_memory()
        *_, processor, torch = window.now.memory.splitlines()
        assert processor.startswith("Processor: ") and processor.endswith(" GB free") and "PyTorch" in torch

    def test_nothing_is_installed_unless_pressed(self, engine, ct, ct_bundle, tmp_path):
        packages = Packages(["PyTorch", "safetensors"])
        panel = make_panel(BlockingRunner(engine), Parameters(modelPath=ct_bundle, inputVolume=ct), packages)
        presenter, window = opened(panel, ModelPresenter)
        assert window.now.can_install and "PyTorch and safetensors" in window.now.missing
        assert what_a_run_lacks(panel) == "Install PyTorch and safetensors first." and packages.installs == 0
        presenter.install_from(tmp_path)
        assert packages.folders == [tmp_path] and window.now.missing == ""
        assert strip_state(panel).status.text == "Installed."
        presenter.install()
        assert packages.installs == 1

    def test_what_others_exported_meanwhile_is_seen(self, panel, tmp_path, ct_bundle):
        _, window = opened(panel, ModelPresenter)
        panel.parameters.modelPath = tmp_path / "later"
        assert window.now.complaint
        shutil.copytree(ct_bundle, tmp_path / "later")
        panel.look_again()
        assert window.now.complaint == "" and window.now.card


class TestChecks:
    def test_warnings_stop_until_the_person_overrides_them(self, runner, ct, ct_bundle, scene):
        panel = make_panel(runner, Parameters(modelPath=ct_bundle, inputVolume=ct))
        presenter, window = opened(panel, ReconstructPresenter)
        assert any("does not say what it is" in warning for warning in strip_state(panel).warnings)
        assert "Run anyway" in window.now.hint
        presenter.reconstruct()
        assert runner.requests == []
        override(panel, True)
        assert window.now.hint == "" and strip_state(panel).is_overridden
        presenter.reconstruct()
        told = provenance_of(panel.parameters.reconstructionVolume)
        assert told.parameters[OVERRIDDEN] and told.warnings
        assert "does not say what it is" not in panel.runs.status.text  # it stands above, and was read

    def test_another_input_needs_another_yes(self, panel, add_volume):
        assert what_a_run_lacks(panel) == ""
        narrow = np.random.default_rng(1).integers(-1000, 600, (4, 9, 9), dtype=np.int16)
        panel.parameters.inputVolume = add_volume(narrow, np.diag([8.0, 8, 5, 1]), "narrow")
        assert len(warnings_of(panel)) > 1 and "Run anyway" in what_a_run_lacks(panel)

    def test_a_model_of_another_modality_stops(self, panel, tmp_path):
        settings = {"size": 64, "filters": 1, "latent": 2}
        network = NetworkDescription("conv_pool_vae", settings)
        manifest = tiny_manifest(Modality.MR, network=network)
        write_bundle(tmp_path / "brain", manifest, build("conv_pool_vae", settings), card="# MR\n", preview=PREVIEW_PNG)
        panel.parameters.modelPath = tmp_path / "brain"
        assert "was made for MR" in what_a_run_lacks(panel)

    def test_a_dose_stops(self, panel, add_volume):
        dose = add_volume(np.ones((4, 30, 40), np.float32), np.diag([8.0, 8, 5, 1]), "dose")
        dose.SetAttribute("DicomRtImport.DoseVolume", "1")
        panel.parameters.inputVolume = dose
        assert "is a dose distribution" in what_a_run_lacks(panel)

    def test_an_input_that_is_edited_is_looked_at_again(self, panel, ct):
        array = slicer.util.arrayFromVolume(ct)
        array[:] = 7
        slicer.util.arrayFromVolumeModified(ct)
        assert "Run anyway" in what_a_run_lacks(panel)  # it no longer looks like a CT

    def test_an_input_that_gets_its_image_later_is_looked_at_again(self, panel, ct, scene):
        """Slicer chooses a new volume while it is still empty."""
        panel.parameters.inputVolume = node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "late")
        assert "'late' holds no image" in what_a_run_lacks(panel)
        node.SetAndObserveImageData(ct.GetImageData())
        assert "holds no image" not in what_a_run_lacks(panel) and panel.input.facts is not None


class TestInput:
    def test_tells_how_it_lies(self, panel):
        _, window = opened(panel, InputPresenter)
        assert window.now.orientation == (
            "CT, 40 × 30 × 10 voxels of 8.00 × 8.00 × 5.00 mm; axial; columns to L, rows to P, slices to S"
        )
        assert window.now.slices == "all 10 slices"

    def test_slice_range(self, panel, runner, scene):
        _, window = opened(panel, InputPresenter)
        panel.parameters.firstSlice, panel.parameters.lastSlice = 7, 9
        assert window.now.slices == "slices 7 to 9 of 10"
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        assert runner.requests[-1].volume.array.shape == (3, 30, 40)
        reconstruction = slicer.util.arrayFromVolume(panel.parameters.reconstructionVolume)
        residual = slicer.util.arrayFromVolume(panel.parameters.residualVolume)
        assert reconstruction.shape == (10, 30, 40)
        seen = np.flatnonzero(np.any(residual != 0, axis=(1, 2)))
        assert seen.tolist() == [6, 7, 8]
        assert provenance_of(panel.parameters.residualVolume).parameters["slices"] == "7 to 9 of 10"
        field = slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode", scene)[0]
        assert np.flatnonzero(slicer.util.arrayFromVolume(field).any(axis=(1, 2))).tolist() == [6, 7, 8]

    def test_the_range_gives_what_the_whole_gives_there(self, panel, runner):
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        whole = slicer.util.arrayFromVolume(panel.parameters.residualVolume).copy()
        panel.parameters.firstSlice, panel.parameters.lastSlice = 7, 9
        presenter.reconstruct()
        part = slicer.util.arrayFromVolume(panel.parameters.residualVolume)
        assert np.abs(part[6:9] - whole[6:9]).max() < 0.1  # HU

    def test_current_slice(self, panel, views, scene):
        _, window = opened(panel, InputPresenter)
        red = next(node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == "Red")
        red.SetSliceOffset(21.0)
        panel.parameters.currentSliceOnly = True
        assert window.now.slices == "slice 5 of 10"
        red.SetSliceOffset(31.0)
        assert window.now.slices == "slice 7 of 10"

    def test_complaints_are_shown(self, panel, scene):
        _, window = opened(panel, InputPresenter)
        panel.parameters.inputVolume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        assert "'empty' holds no image" in window.now.complaint and window.now.orientation == ""
        assert "'empty' holds no image" in what_a_run_lacks(panel)


def with_model(panel, folder, family, settings, **seen):
    """The panel with a small model that sees more than one image, and its warnings overridden."""
    settings = {"size": 64, "filters": 1, **settings}
    manifest = tiny_manifest(
        network=NetworkDescription(family, settings), preprocessing=Preprocessing(HounsfieldWindow(), 64, 6.0, **seen)
    )
    write_bundle(folder / "model", manifest, build(family, settings), card="# Small\n", preview=PREVIEW_PNG)
    panel.parameters.modelPath = folder / "model"
    override(panel, True)
    return panel


class TestStructures:
    @pytest.fixture
    def seeing(self, panel, tmp_path):
        """A panel whose model sees two structures."""
        return with_model(panel, tmp_path, "conv_pool_structures", {"structures": 2}, structures=("Heart", "Lung_L"))

    def test_a_side_is_never_guessed_and_doubles_wait(self, seeing, ct):
        presenter, window = opened(seeing, InputPresenter)
        seeing.parameters.structures = add_segmentation(ct, ["Herz", "Lung", "Lunge li", "Lunge links"])
        heart, lung = window.now.matches
        assert heart.segment == "Herz" and lung.segment == "" and "may each be" in lung.doubt
        assert "'Lung_L'" in what_a_run_lacks(seeing) and not window.now.can_confirm
        presenter.choose_segment("Lung_L", "Lunge li")
        assert window.now.can_confirm and "Confirm" in what_a_run_lacks(seeing)
        presenter.confirm(True)
        assert what_a_run_lacks(seeing) == "" and window.now.are_confirmed
        presenter.choose_segment("Heart", "Lung")
        assert not window.now.are_confirmed  # the yes was to other words

    def test_segments_of_one_name_wait_for_the_person(self, seeing, ct):
        _, window = opened(seeing, InputPresenter)
        seeing.parameters.structures = add_segmentation(ct, ["Heart", "Heart", "Lung_L"])
        heart, lung = window.now.matches
        assert (heart.segment, lung.segment) == ("", "Lung_L") and "Several segments" in heart.doubt
        assert heart.offered == ("Heart", "Heart (2)", "Lung_L")

    def test_the_model_sees_the_segments_that_were_chosen(self, seeing, ct, runner):
        seeing.parameters.structures = add_segmentation(ct, ["a", "b"])
        seeing.parameters.structureChoices = {"Heart": "b", "Lung_L": "a"}
        confirm_structures(seeing, True)
        presenter, _ = opened(seeing, ReconstructPresenter)
        presenter.reconstruct()
        masks = runner.requests[-1].volume.masks
        assert set(masks) == {"Heart", "Lung_L"}
        assert masks["Lung_L"][3, 5, 5] and masks["Heart"][3, 8, 5] and not masks["Heart"][3, 5, 5]
        assert seeing.runs.status.text.startswith("Done in")


class TestFurtherImages:
    @pytest.fixture
    def several(self, panel, tmp_path):
        """A panel whose model sees T1 and T2 beside the input."""
        return with_model(panel, tmp_path, "conv_pool_vae", {"channels": 3}, channels=("CT", "T1", "T2"))

    def test_names_that_leave_no_doubt_are_suggested(self, several, add_volume):
        _, window = opened(several, InputPresenter)
        assert what_a_run_lacks(several) == "Choose which volume is T1 in the section Input."
        first = add_volume(np.ones((3, 8, 8), np.int16), name="brain_T1W")
        add_volume(np.ones((3, 8, 8), np.int16), name="T2 one")
        chosen = {match.channel: match.chosen and match.chosen.name for match in window.now.channels}
        assert chosen == {"T1": "brain_T1W", "T2": "T2 one"} and what_a_run_lacks(several) == ""
        add_volume(np.ones((3, 8, 8), np.int16), name="another t2")
        assert what_a_run_lacks(several) == "Choose which volume is T2 in the section Input."
        first.SetName("T10")
        assert [match.chosen for match in window.now.channels] == [None, None]

    def test_the_model_sees_the_volumes_that_were_chosen(self, several, ct, add_volume, runner):
        array = slicer.util.arrayFromVolume(ct)
        same = add_volume(array + 10, name="same grid")
        matrix = vtk.vtkMatrix4x4()
        ct.GetIJKToRASMatrix(matrix)
        same.SetIJKToRASMatrix(matrix)
        coarse = add_volume(array[:, ::2, ::2].copy(), name="coarse")
        matrix.DeepCopy([matrix.GetElement(i, j) * (2 if j < 2 else 1) for i in range(4) for j in range(4)])
        coarse.SetIJKToRASMatrix(matrix)
        presenter, window = opened(several, InputPresenter)
        keys = {each.name: each.key for each in window.now.channels[0].offered}
        assert set(keys) == {"same grid", "coarse"}  # the input is not among them
        presenter.choose_channel("T1", keys["same grid"])
        presenter.choose_channel("T2", keys["coarse"])
        reconstruct, _ = opened(several, ReconstructPresenter)
        reconstruct.reconstruct()
        assert several.runs.status.text.startswith("Done in")
        sent = runner.requests[-1].channels
        assert np.array_equal(sent["T1"].array, array + 10) and sent["T2"].array.shape == array[:, ::2, ::2].shape
        told = provenance_of(several.parameters.reconstructionVolume).parameters
        assert told["channel T1"] == "same grid" and told["channel T2"] == "coarse"
        several.parameters.firstSlice = several.parameters.lastSlice = 2
        reconstruct.reconstruct()
        assert several.runs.status.text.startswith("Done in")

    def test_scripts_name_the_volumes(self, several, ct, add_volume, engine):
        same = add_volume(slicer.util.arrayFromVolume(ct) + 10, name="same")
        same.CopyOrientation(ct)
        nodes = {"T1": same, "T2": same}
        made = SceneLogic(engine).reconstruct(ct, several.parameters.modelPath, channels=nodes, override=True)
        assert provenance_of(made.residual).parameters["channel T2"] == "same"
        with pytest.raises(UserError, match="T1"):
            SceneLogic(engine).reconstruct(ct, several.parameters.modelPath, override=True)

    def test_a_volume_that_goes_is_no_longer_chosen(self, several, add_volume, scene):
        presenter, window = opened(several, InputPresenter)
        node = add_volume(np.ones((3, 8, 8), np.int16), name="x")
        presenter.choose_channel("T1", window.now.channels[0].offered[0].key)
        assert window.now.channels[0].chosen.name == "x"
        scene.RemoveNode(node)
        assert window.now.channels[0].chosen is None

    def test_volumes_that_do_not_overlap(self, several, ct, add_volume, scene):
        presenter, window = opened(several, InputPresenter)
        far = add_volume(np.ones((3, 8, 8), np.int16), name="T1 T2")
        far.SetOrigin(5000, 0, 0)
        for channel in ("T1", "T2"):
            presenter.choose_channel(channel, window.now.channels[0].offered[0].key)
        before = volumes(scene)
        reconstruct, _ = opened(several, ReconstructPresenter)
        reconstruct.reconstruct()
        assert "'T1 T2' and 'thorax' do not overlap" in several.runs.status.text and volumes(scene) == before


class TestReconstruct:
    def test_apply(self, panel, scene, views, ct):
        presenter, window = opened(panel, ReconstructPresenter)
        assert not window.now.has_reconstruction
        presenter.reconstruct()
        assert volumes(scene) == ["thorax", "thorax reconstruction", "thorax residual"]
        assert "'thorax residual'" in panel.runs.status.text and window.now.has_residual
        for composite in composites(scene):
            assert composite.GetForegroundVolumeID() == panel.parameters.reconstructionVolume.GetID()
            assert composite.GetForegroundOpacity() == 0.5

    def test_blend_follows_the_slider_where_the_reconstruction_is_shown(self, panel, scene, views):
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        panel.parameters.blend = 0.9
        assert {composite.GetForegroundOpacity() for composite in composites(scene)} == {0.9}
        presenter.show_residual()
        panel.parameters.blend = 0.2
        assert {composite.GetForegroundOpacity() for composite in composites(scene)} == {0.5}

    def test_side_by_side_in_linked_views(self, panel, scene, views, ct):
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        slice_views.red_view(scene).SetSliceOffset(21.0)
        presenter.side_by_side()
        shown = {composite.GetLayoutName(): composite for composite in composites(scene)}
        assert shown["Red"].GetBackgroundVolumeID() == ct.GetID()
        assert shown["Yellow"].GetBackgroundVolumeID() == panel.parameters.reconstructionVolume.GetID()
        assert all(
            composite.GetLinkedControl() and not composite.GetForegroundVolumeID() for composite in shown.values()
        )
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
        slices = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        assert {node.GetOrientation() for node in slices.values()} == {"Axial"}
        assert slices["Red"].GetSliceOffset() == slices["Yellow"].GetSliceOffset() == 21.0
        assert slices["Red"].GetFieldOfView()[0] == pytest.approx(320)  # 40 pixels of 8 mm
        presenter.blend()  # which ends it
        assert slices["Yellow"].GetOrientation() == "Sagittal"
        assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def test_one_window_for_both(self, panel, ct):
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        mine, other = ct.GetDisplayNode(), panel.parameters.reconstructionVolume.GetDisplayNode()
        mine.AutoWindowLevelOff()
        mine.SetWindowLevel(350, 40)
        assert (other.GetWindow(), other.GetLevel()) == (350, 40)
        other.SetWindowLevel(1500, -500)
        assert (mine.GetWindow(), mine.GetLevel()) == (1500, -500)
        presenter.close()
        mine.SetWindowLevel(80, 40)
        assert other.GetWindow() == 1500

    def test_pressed_twice(self, engine, ct, ct_bundle, scene):
        late = LateRunner(engine)
        panel = make_panel(late, Parameters(modelPath=ct_bundle, inputVolume=ct))
        override(panel, True)
        presenter, window = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        presenter.reconstruct()
        assert len(late.requests) == 1 and not window.now.is_idle
        late.answer()
        assert volumes(scene) == ["thorax", "thorax reconstruction", "thorax residual"]

    def test_cancel_leaves_the_scene_as_it_was(self, panel, scene):
        presenter, _ = opened(panel, ReconstructPresenter)
        panel._draw_strip = lambda: panel.runs.cancel() if panel.runs.fraction else None
        panel.runs._progressed = panel._draw_strip
        before = volumes(scene)
        presenter.reconstruct()
        assert volumes(scene) == before and panel.runs.status.text == "Cancelled; nothing was changed."

    def test_scene_closed_during_a_run(self, engine, ct, ct_bundle, scene):
        late = LateRunner(engine)
        panel = make_panel(late, Parameters(modelPath=ct_bundle, inputVolume=ct))
        override(panel, True)
        presenter, _ = opened(panel, ReconstructPresenter)
        opened(panel, AnomaliesPresenter)
        presenter.reconstruct()
        panel.scene_closes()
        scene.Clear(0)
        late.answer()
        assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0 and panel.runs.state is RunState.IDLE
        panel.show(Parameters(modelPath=ct_bundle))
        assert what_a_run_lacks(panel) == "Choose an input volume."

    def test_another_parameter_node_keeps_its_own_choices(self, engine, ct, ct_bundle, views, add_volume):
        """Two nodes in one scene, or a scene that was loaded meanwhile: the result belongs to the one that asked."""
        late = LateRunner(engine)
        first = Parameters(modelPath=ct_bundle, inputVolume=ct)
        panel = make_panel(late, first)
        override(panel, True)
        _, window = opened(panel, ReconstructPresenter)
        anomalies, found = opened(panel, AnomaliesPresenter)
        anomalies.find()
        other = add_volume(slicer.util.arrayFromVolume(ct), np.diag([-8.0, -8.0, 5.0, 1.0]), "other")
        second = Parameters(modelPath=ct_bundle, inputVolume=other)
        panel.show(second)
        late.answer()
        assert first.anomalyVolume.GetName() == "thorax anomaly" and second.anomalyVolume is None
        assert panel.is_idle and not found.now.has_map and not window.now.has_reconstruction
        panel.show(first)
        assert found.now.has_map

    def test_a_panel_that_was_reloaded_goes_on_with_the_same_scene(self, engine, ct, ct_bundle, scene):
        """Reloading closes the panel in the middle of a run; the answer of the old worker goes nowhere."""
        late, parameters = LateRunner(engine), Parameters(modelPath=ct_bundle, inputVolume=ct)
        old = make_panel(late, parameters)
        override(old, True)
        presenter, _ = opened(old, ReconstructPresenter)
        presenter.reconstruct()
        old.close()
        late.answer()
        assert late.closed and volumes(scene) == ["thorax"]
        presenter, _ = opened(make_panel(BlockingRunner(engine), parameters), ReconstructPresenter)
        presenter.reconstruct()
        assert volumes(scene) == ["thorax", "thorax reconstruction", "thorax residual"]

    def test_input_deleted_during_a_run(self, engine, ct, ct_bundle, scene):
        late = LateRunner(engine)
        panel = make_panel(late, Parameters(modelPath=ct_bundle, inputVolume=ct))
        override(panel, True)
        presenter, _ = opened(panel, ReconstructPresenter)
        presenter.reconstruct()
        scene.RemoveNode(ct)
        panel.parameters.inputVolume = None  # as Slicer's wrapper does when a node is deleted
        late.answer()
        assert "'thorax' was removed" in panel.runs.status.text and volumes(scene) == []


class TestAnomalies:
    @pytest.fixture
    def found(self, panel, views):
        presenter, window = opened(panel, AnomaliesPresenter)
        presenter.find()
        return presenter, window

    def test_a_map_with_what_lies_above_the_level(self, found, panel):
        _, window = found
        node = panel.parameters.anomalyVolume
        assert node.GetName() == "thorax anomaly" and window.now.has_map and window.now.unit
        array = slicer.util.arrayFromVolume(node)
        panel.parameters.smallestRegion, panel.parameters.alarmLevel = 0.0, float(np.sort(array.ravel())[-4])
        assert sum(float(row.volume) for row in window.now.rows) == pytest.approx(3 * 0.32, abs=0.02)
        assert float(window.now.rows[0].peak) == pytest.approx(array.max(), abs=0.06)
        assert f"above {panel.parameters.alarmLevel:g}" in window.now.summary
        display = node.GetDisplayNode()
        assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(panel.parameters.alarmLevel)

    def test_nothing_found_never_reads_normal(self, found, panel):
        _, window = found
        panel.parameters.alarmLevel = 50.0
        assert window.now.rows == ()
        assert "No region found above 50" in window.now.summary and "does not mean" in window.now.summary

    def test_a_click_moves_the_views_to_the_peak(self, found, panel, scene):
        presenter, window = found
        node = panel.parameters.anomalyVolume
        array = slicer.util.arrayFromVolume(node)
        panel.parameters.smallestRegion, panel.parameters.alarmLevel = 0.0, float(np.sort(array.ravel())[-2])
        presenter.jump_to(0)
        k, j, i = np.unravel_index(array.argmax(), array.shape)
        red = next(node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == "Red")
        place = [red.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        assert place == pytest.approx([-8.0 * i, -8.0 * j, 5.0 * k])
        assert window.now.rows[0].position_lps == f"{8 * i:.0f}, {8 * j:.0f}, {5 * k:.0f}"
        assert "left" in window.now.rows[0].place and "superior" in window.now.rows[0].place
        presenter.jump_to(99)

    def test_legend_tells_the_unit(self, found, panel, scene):
        (legend,) = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode", scene)
        assert legend.GetTitleText() == "Anomaly\nsigma of the model\n(uncalibrated)"  # VTK's font has no σ
        panel.parameters.alarmLevel = 1.0
        assert len(slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode", scene)) == 1

    def test_segmentation_is_what_lies_above_the_level(self, found, panel, scene):
        presenter, window = found
        node = panel.parameters.anomalyVolume
        array = slicer.util.arrayFromVolume(node)
        panel.parameters.smallestRegion, panel.parameters.alarmLevel = 0.0, float(np.sort(array.ravel())[-40])
        presenter.segment()
        (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
        held = segmentation.GetSegmentation()
        assert held.GetNumberOfSegments() == len(window.now.rows)
        masks = masks_from_node(segmentation, volume_from_node(panel.parameters.inputVolume))
        union = np.any(list(masks.values()), axis=0)
        assert np.array_equal(union, array > panel.parameters.alarmLevel)
        assert provenance_of(segmentation).bundle_name == "tiny"

    def test_chart_of_the_slices(self, found, panel, scene):
        presenter, _ = found
        (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode", scene)
        assert table.GetNumberOfRows() == 10 and table.GetColumnName(0) == "position in mm"
        plot_view = scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
        presenter.show_chart()
        (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode", scene)
        assert plot_view.GetPlotChartNodeID() == chart.GetID()
        presenter.find()  # again, into the same nodes
        assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode", scene)) == 1
        assert len(slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode", scene)) == 1

    def test_method(self, panel, views):
        presenter, _ = opened(panel, AnomaliesPresenter)
        panel.parameters.anomalyMethod = AnomalyMethod.STRUCTURAL_RESIDUAL
        presenter.find()
        assert provenance_of(panel.parameters.anomalyVolume).parameters["anomaly method"] == "structural-residual"

    @pytest.mark.parametrize(("only", "depth_mm"), [(True, 0.0), (False, None)])
    def test_the_couch_is_left_out_unless_wanted(self, panel, views, runner, only, depth_mm):
        presenter, _ = opened(panel, AnomaliesPresenter)
        panel.parameters.bodyOnly = only
        presenter.find()
        assert runner.requests[-1].anomaly.body_erosion_mm == depth_mm
        assert panel.runs.status.text.startswith("Done in")

    def test_a_method_that_the_model_has_not_is_said(self, panel, views, scene):
        presenter, _ = opened(panel, AnomaliesPresenter)
        panel.parameters.anomalyMethod = AnomalyMethod.CODE_SURPRISE
        presenter.find()
        assert panel.runs.status.is_error and "code-surprise" in panel.runs.status.text
        assert volumes(scene) == ["thorax"]

    def test_a_volume_that_is_no_map_is_left_alone(self, panel, ct, add_volume):
        _, window = opened(panel, AnomaliesPresenter)
        other = add_volume(np.zeros((2, 2, 2), np.float32), name="other")
        panel.parameters.anomalyVolume = other
        assert not window.now.has_map and window.now.summary == ""

    def test_closing_the_scene_forgets_the_map(self, found, panel, scene):
        presenter, _ = found
        panel.scene_closes()
        presenter.jump_to(0)
        presenter.segment()
        assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene) == []


def test_offered_methods_are_those_that_there_are():
    from SlicerVAELib.core.anomaly.registry import METHODS

    assert {method.value for method in AnomalyMethod} == {"auto", *METHODS}
