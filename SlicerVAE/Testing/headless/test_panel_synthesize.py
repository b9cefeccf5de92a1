"""The section Synthesize on the real engine and the real MRML: samples, the latent explorer, two patients."""

import dataclasses

import numpy as np
import pytest
import slicer
import slicer.util

from SlicerVAELib.core.bundle_parts import weights_checksum
from SlicerVAELib.core.engine import DecodeRequest, SynthesizeRequest
from SlicerVAELib.core.latent_facts import LatentFact, LatentFacts, write_latent_facts
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.panel.latent_sliders import UNDESCRIBED
from SlicerVAELib.panel.presenters.synthesize import SynthesizePresenter
from SlicerVAELib.panel.readiness import UNREAD, override
from SlicerVAELib.scene.provenance import SYNTHETIC, provenance_of
from Testing.headless.panel_helper import BlockingRunner, LateRunner, Parameters, Window, make_panel

pytest.importorskip("torch")
GRID = np.diag([-9.0, -9.0, 5.0, 1.0])


class SynthesizeWindow(Window):
    """Keeps the pictures that were shown, too."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = []

    def show_picture(self, node) -> None:
        self.pictures.append(node)


class Opened:
    """The section as it stands after it was expanded."""

    def __init__(self, runner, bundle, **parameters) -> None:
        self.runner, self.window = runner, SynthesizeWindow()
        self.parameters = Parameters(modelPath=bundle, **parameters)
        self.panel = make_panel(runner, self.parameters)
        self.presenter = SynthesizePresenter(self.window, self.panel)
        self.panel.open(self.presenter)

    @property
    def explorer(self):
        return self.window.now.explorer

    @property
    def asked(self) -> list:
        """What the model was asked, each request once."""
        return list({id(request): request for request in self.runner.requests}.values())

    @property
    def picture(self) -> np.ndarray:
        return slicer.util.arrayFromVolume(self.window.pictures[-1]).copy()


@pytest.fixture
def section(scene, engine, ct_bundle):
    return Opened(BlockingRunner(engine), ct_bundle)


@pytest.fixture
def chest_array() -> np.ndarray:
    """A body of water with one lung, wider towards the head, as HU."""
    k, j, i = np.mgrid[:8, :40, :40]
    body = np.hypot(i - 20, (j - 20) * 1.4) < 12 + k
    lung = np.hypot(i - 14, j - 20) < 2 + k / 2
    return np.where(lung, -800, np.where(body, 30, -1000)).astype(np.int16)


@pytest.fixture
def late(scene, engine, ct_bundle):
    """A section whose model answers when the test says so; it explores already."""
    section = Opened(LateRunner(engine), ct_bundle)
    section.presenter.reset()
    section.runner.answer()
    return section


def test_samples_are_drawn_as_the_person_asks_and_called_synthetic(section):
    section.parameters.sampleCount, section.parameters.sampleSeed = 3, 5
    section.parameters.sampleTemperature = 0.5
    section.presenter.create_samples()
    (request,) = section.runner.requests
    assert (request.count, request.seed, request.temperature, request.prior) == (3, 5, 0.5, "auto")
    assert "synthetic: nobody's image" in section.panel.runs.status.text
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [(node.GetAttribute(SYNTHETIC), "synthetic" in node.GetName()) for node in nodes] == [("1", True)]


def test_nothing_is_explored_before_the_person_begins(section):
    assert section.explorer.sliders == () and section.runner.requests == []
    section.presenter.move(0, 1.0)
    section.presenter.random()
    section.presenter.keep_picture()
    assert section.runner.requests == []


def test_the_explorer_begins_in_the_middle_of_the_prior_and_says_what_it_does_not_know(section):
    section.presenter.reset()
    assert [slider.value for slider in section.explorer.sliders] == [0.0] * 8
    assert section.explorer.sliders[0].name == "Latent 0" and section.explorer.note == UNDESCRIBED
    (node,) = section.window.pictures
    assert "synthetic" in node.GetName() and node.GetAttribute(SYNTHETIC) == "1"
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    assert bounds[4] > 2000.0, "a patient's structures could be drawn over it"


def test_sliders_are_the_latents_that_change_most_with_their_names(scene, engine, make_bundle):
    bundle = make_bundle("described")
    manifest = read_manifest(bundle)
    told = {5: {"chest_depth_mm": -0.8, "age": 0.4}, 2: {"chest_depth_mm": 0.6}, 7: {"age": 0.4}}
    latents = tuple(LatentFact(index, 1.0, 1.0, 9.0 - index, found, f"latent {index}") for index, found in told.items())
    facts = LatentFacts(weights_checksum(manifest), 2, 40, "HU", 3, latents)
    write_latent_facts(bundle, manifest, facts, np.zeros((3, 4, 4), np.float32))
    section = Opened(BlockingRunner(engine), bundle)
    section.presenter.reset()
    assert [slider.name for slider in section.explorer.sliders] == [
        "Chest depth mm",
        "Chest depth mm (2)",
        "Latent 7",
    ]
    assert section.explorer.sliders[0].tip == (
        "Latent 5, in standard deviations of the prior. From −1 to +1 the picture changes by 4 HU on average. "
        "It goes together with chest depth mm (r = -0.80) and age (r = 0.40)."
    )
    section.presenter.move(0, 2.0)
    moved = section.runner.requests[-1].latents[0]
    assert moved.reshape(-1)[5] == 2.0 and np.count_nonzero(moved) == 1


def test_the_picture_follows_the_slider_in_the_same_node(section, engine):
    section.presenter.reset()
    before = section.picture
    section.presenter.move(1, 2.5)
    assert len(section.window.pictures) == 1
    wanted = engine.decode(section.runner.requests[-1]).images
    np.testing.assert_array_equal(section.picture, wanted)
    assert np.abs(section.picture - before).max() > 0
    section.presenter.reset()
    np.testing.assert_array_equal(section.picture, before)


def test_of_the_places_that_a_slider_ran_through_only_the_last_is_asked_for(late):
    begun = len(late.asked)
    for value in (0.5, 1.0, 1.5, 2.0):
        late.presenter.move(0, value)
    assert len(late.asked) == begun + 1  # the others wait, or were overtaken
    late.runner.answer()
    assert [request.latents.reshape(-1)[0] for request in late.asked[begun:]] == [0.5, 2.0]
    late.runner.answer()
    assert len(late.asked) == begun + 2
    assert late.explorer.sliders[0].value == 2.0


def test_a_random_draw_can_be_found_again_and_gives_way_to_a_slider(late):
    late.presenter.random()
    assert late.parameters.sampleSeed == 1
    late.presenter.move(0, 2.0)  # before the draw is there
    late.runner.answer()
    late.runner.answer()
    assert late.explorer.sliders[0].value == 2.0
    late.parameters.sampleSeed = 0
    late.presenter.random()
    late.runner.answer()
    drawn = [slider.value for slider in late.explorer.sliders]
    assert any(value != 0 for value in drawn) and late.runner.requests[-1].seed == 1


def test_a_traversal_moves_one_slider_from_end_to_end_until_it_is_stopped(section):
    section.presenter.reset()
    section.presenter.traverse(2, True)
    assert section.explorer.traversed == 2
    values = []
    for _ in range(40):
        section.presenter.tick()
        values.append(section.explorer.sliders[2].value)
    assert (min(values), max(values)) == pytest.approx((-3.0, 3.0))
    section.presenter.traverse(2, False)
    section.presenter.tick()
    assert section.explorer.sliders[2].value == values[-1] and section.explorer.traversed is None


def test_a_picture_is_kept_as_a_volume_of_its_own(section):
    section.presenter.reset()
    section.presenter.move(0, 1.0)
    section.presenter.keep_picture()
    kept = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(kept), section.picture)
    assert kept is not section.window.pictures[-1] and provenance_of(kept).parameters["latents"] == "given"


def test_the_way_between_two_patients_begins_and_ends_with_their_reconstructions(section, add_volume, chest_array):
    section.parameters.inputVolume = add_volume(chest_array, GRID, "first")
    section.parameters.otherVolume = add_volume(chest_array[::-1].copy(), GRID, "second")
    assert section.window.now.path_hint == ""
    section.presenter.find_path()
    assert section.panel.runs.status.text == UNREAD  # no header says that it is a CT
    override(section.panel, True)
    section.presenter.find_path()
    assert section.panel.runs.status.text.startswith("Move 'Between patients'")
    first, last = (request.latents for request in map(_last_decode(section), (0.0, 1.0)))
    assert not np.array_equal(first, last)
    middle = _last_decode(section)(0.5).latents
    np.testing.assert_allclose(middle, (first + last) / 2, rtol=1e-5)
    section.presenter.keep_path()
    kept = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1]
    assert len(slicer.util.arrayFromVolume(kept)) == 25 and kept.GetAttribute(SYNTHETIC) == "1"


def _last_decode(section):
    def at(share: float) -> DecodeRequest:
        section.presenter.go_along(share)
        return section.runner.requests[-1]

    return at


def test_what_waits_is_asked_when_a_run_has_ended(late):
    late.presenter.create_samples()
    assert isinstance(late.runner.requests[-1], SynthesizeRequest)
    asked = len(late.runner.requests)
    late.presenter.move(0, 1.0)
    assert len(late.runner.requests) == asked
    late.runner.answer()
    assert isinstance(late.runner.requests[-1], DecodeRequest)


def test_closing_the_scene_ends_the_exploration(late):
    late.presenter.move(0, 1.0)
    late.panel.scene_closes()
    slicer.mrmlScene.Clear()
    late.runner.answer()
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    late.panel.show(late.parameters)
    assert late.explorer.sliders == ()


def test_another_model_begins_anew(section, make_bundle):
    section.presenter.reset()
    section.presenter.move(0, 1.0)
    section.parameters.modelPath = make_bundle("other")
    assert section.explorer.sliders == ()
    section.presenter.reset()
    assert {slider.value for slider in section.explorer.sliders} == {0.0}


def test_a_deleted_picture_comes_back(section):
    section.presenter.reset()
    slicer.mrmlScene.RemoveNode(section.window.pictures[-1])
    section.presenter.move(0, 1.0)
    assert len(section.window.pictures) == 2


def test_a_model_that_can_not_be_explored_says_so(scene, engine, make_bundle, tmp_path):
    from SlicerVAELib.core.bundle import write_bundle
    from SlicerVAELib.core.manifest import NetworkDescription
    from SlicerVAELib.core.networks import build

    manifest = read_manifest(make_bundle("plain"))
    settings = {"size": manifest.preprocessing.size}
    description = NetworkDescription("table52_vqvae", settings)
    codes = dataclasses.replace(manifest, network=description)
    write_bundle(tmp_path / "codes", codes, build("table52_vqvae", settings), card="", preview=b"")
    section = Opened(BlockingRunner(engine), tmp_path / "codes")
    section.presenter.reset()
    assert section.explorer.sliders == () and section.explorer.note
