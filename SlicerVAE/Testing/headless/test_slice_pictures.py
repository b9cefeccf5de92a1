"""What a person sees of an anomaly map in the slice views: drawn off-screen, by Slicer's own code."""

import re
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from scipy import ndimage

from SlicerVAELib.core.engine import NOT_SEEN_SIGNED
from SlicerVAELib.scene import slice_views
from SlicerVAELib.scene.anomaly_overlay import AnomalyMap
from SlicerVAELib.scene.demonstration import load_demonstration_patient
from Testing.headless.slice_pictures import ORIENTATIONS, SliceViews, save
from Testing.headless.slice_pictures_docs import draw_all

PROJECT = Path(__file__).resolve().parents[3]
DRAWN = {"anomaly-overlay.png", "reconstruction.png", "synthetic-slices.png"}
LARGEST_BYTES = 150_000

LEVEL = 3.0  # healthy z-score
STEP = 0.05  # of a colour table of 256 colours from −6 to 6
SIZE = 480, 400


class Shown:
    """The demonstration patient in the views, at its effusion, with the map over the CT."""

    def __init__(self, scene, views: SliceViews) -> None:
        self.views = views
        self.nodes = load_demonstration_patient()
        self.nodes.structures.GetDisplayNode().SetVisibility(False)
        self.map = AnomalyMap.of(self.nodes.maps.anomaly)
        self.map.show_above(LEVEL)
        slice_views.show_over(scene, self.nodes.volume, self.map.node, 0.7)
        self.effusion = max(self.map.regions(LEVEL, 1.0).regions, key=lambda region: region.volume_cm3)
        slice_views.present(scene, self.nodes.volume, self.effusion.peak_lps_mm)

    def without_map(self, view) -> np.ndarray:
        slice_views.set_opacity_over(slicer.mrmlScene, self.map.node, 0.0)
        picture = view.picture()
        slice_views.set_opacity_over(slicer.mrmlScene, self.map.node, 0.7)
        return picture


@pytest.fixture
def shown(scene):
    with SliceViews(scene, *SIZE) as views:
        yield Shown(scene, views)


def at(node, array: np.ndarray, ras: np.ndarray) -> np.ndarray:
    """What an array on the grid of a volume holds at points (…, 3): the value of the nearest voxel."""
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    to_ijk = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(3)])
    kji = np.moveaxis(ras @ to_ijk[:, :3].T + to_ijk[:, 3], -1, 0)[::-1]
    return ndimage.map_coordinates(array, kji, order=0, mode="grid-constant", cval=0.0)


def is_colored(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=-1) > 20


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_map_is_seen_where_it_is_above_its_alarm_level_and_nowhere_else(shown, name, tmp_path):
    view = shown.views[name]
    plain, overlaid = shown.without_map(view), view.picture()
    save(tmp_path / f"{name}.png", overlaid)
    assert not is_colored(plain).any() and np.ptp(plain) == 255
    values, ras = slicer.util.arrayFromVolume(shown.map.node), view.pixels_to_ras()
    # The view interpolates between voxels: what it shows lies between the least and the highest value around.
    farthest = np.where(values > NOT_SEEN_SIGNED, np.abs(values), 0.0)
    inside = at(shown.map.node, ndimage.minimum_filter(values, size=3), ras) >= LEVEL + STEP
    outside = at(shown.map.node, ndimage.maximum_filter(farthest, size=3), ras) < LEVEL - STEP
    assert inside.sum() > 50 and outside.sum() > 100_000
    assert is_colored(overlaid)[inside].all()
    np.testing.assert_array_equal(overlaid[outside], plain[outside])


def test_what_is_darker_than_expected_is_seen_too(shown, tmp_path):
    values = slicer.util.arrayFromVolume(shown.map.node)
    darker = [region for region in shown.map.regions(LEVEL, 0.1).regions if region.peak < 0]
    assert darker
    left, posterior, superior = darker[0].peak_lps_mm
    slice_views.jump_to(slicer.mrmlScene, (left, posterior, superior))
    view = shown.views["Red"]
    plain, overlaid = shown.without_map(view), view.picture()
    save(tmp_path / "darker.png", overlaid)
    inside = at(shown.map.node, ndimage.maximum_filter(values, size=3), view.pixels_to_ras()) <= -LEVEL - STEP
    inside &= at(shown.map.node, ndimage.minimum_filter(values, size=3), view.pixels_to_ras()) > NOT_SEEN_SIGNED
    assert inside.any() and (overlaid != plain).any(axis=-1)[inside].all()


def test_a_higher_level_clears_more_and_a_lower_one_less(shown):
    view = shown.views["Red"]
    counts = []
    for level in (2.0, 4.0, 3.0):
        shown.map.show_above(level)
        counts.append(int(is_colored(view.picture()).sum()))
    assert counts[0] > counts[2] > counts[1] > 0
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode")]
    assert len(names) == len(set(names))  # the same table each time


def test_what_is_seen_is_the_effusion(shown):
    """Fluid, at the left and the back: where the map is seen in the axial view, the CT has the values of water."""
    view = shown.views["Red"]
    seen = is_colored(view.picture())
    ct = at(shown.nodes.volume, slicer.util.arrayFromVolume(shown.nodes.volume), view.pixels_to_ras())
    assert -50.0 < np.median(ct[seen]) < 60.0  # HU
    rows, columns = np.nonzero(seen)
    assert np.median(columns) > SIZE[0] / 2 and np.median(rows) > SIZE[1] / 2


def test_the_legend_tells_the_colors_and_their_unit(shown, tmp_path):
    view = shown.views["Red"]
    before = view.picture()
    shown.map.show_legend()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(shown.map.node)
    with_unit = view.picture()
    save(tmp_path / "legend.png", with_unit)
    legend.SetTitleText("Anomaly")
    without_unit = view.picture()
    drawn = (with_unit != before).any(axis=-1)
    assert np.nonzero(drawn)[1].min() > SIZE[0] / 2  # the patient's right half stays free
    bar = np.nonzero(drawn & is_colored(with_unit))
    assert np.ptp(bar[0]) > 0.25 * SIZE[1] and np.ptp(bar[1]) < 0.1 * SIZE[0]
    assert letters(with_unit, before) > letters(without_unit, before) + 100


def test_the_structures_are_outlined_over_the_image(shown, tmp_path):
    view = shown.views["Red"]
    before = shown.without_map(view)
    shown.nodes.structures.GetDisplayNode().SetVisibility(True)
    outlined = shown.without_map(view)
    save(tmp_path / "structures.png", outlined)
    assert 500 < (is_colored(outlined) & ~is_colored(before)).sum() < 0.1 * before.size / 3


def letters(picture: np.ndarray, before: np.ndarray) -> int:
    return int(((picture > 200).all(axis=-1) & (before < 100).all(axis=-1)).sum())


def test_the_pictures_of_the_documentation_can_be_drawn_anew(scene, engine, tmp_path):
    draw_all(scene, engine, tmp_path)
    drawn = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert drawn.keys() == DRAWN and max(drawn.values()) <= LARGEST_BYTES


def test_every_picture_that_the_papers_show_is_there_and_small():
    folder = PROJECT / "docs" / "pictures"
    if not folder.is_dir():
        pytest.skip("an sdist leaves the pictures out")
    shown = set()
    for paper in (PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")):
        for alternative, target in re.findall(r"!\[(.*?)\]\((.*?)\)", paper.read_text(encoding="utf-8")):
            assert alternative, f"{target} in {paper.name} has no alternative text"
            shown.add((paper.parent / target).resolve())
    there = {path: path.stat().st_size for path in folder.iterdir()}
    assert there.keys() == shown
    assert max(there.values()) <= LARGEST_BYTES and sum(there.values()) <= 2_000_000
