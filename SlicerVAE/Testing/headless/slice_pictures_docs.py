"""The pictures of the documentation that need no application: ``make pictures``. Phantoms only."""

import argparse
from pathlib import Path

import numpy as np
import slicer
import slicer.util
from PIL import Image, ImageDraw, ImageFont

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.scene import slice_views
from SlicerVAELib.scene.anomaly_overlay import AnomalyMap
from SlicerVAELib.scene.demonstration import load_demonstration_patient
from SlicerVAELib.scene.jobs import prepare_maps, prepare_synthesis
from SlicerVAELib.scene.nodes import VolumeNode
from SlicerVAELib.scene.provenance import RECONSTRUCTION, RESIDUAL
from SlicerVAELib.scene.resources import MODEL
from Testing.headless.slice_pictures import ORIENTATIONS, SliceViews, save

SIZE = 360, 300
ZOOM = 0.85
ROOM_FOR_LEGEND = 0.12  # of the width
GAP = 4
BODY = slice(40, 265)  # the rows of an axial view with the patient in them
LEVEL = 3.0  # healthy z-score
OPACITY = 0.7
SYNTHETIC, SYNTHETIC_SIZE = 6, 178
CAPTION, CAPTION_SIZE = 26, 16


def draw_all(scene: slicer.vtkMRMLScene, engine: LocalEngine, folder: Path) -> None:
    """Write the pictures into ``folder``."""
    with SliceViews(scene, *SIZE) as views:
        nodes = load_demonstration_patient()
        nodes.structures.GetDisplayNode().SetVisibility(False)
        save(folder / "anomaly-overlay.png", _overlay(scene, views, nodes.volume, AnomalyMap.of(nodes.maps.anomaly)))
        save(folder / "reconstruction.png", _reconstruction(scene, views, engine, nodes.volume))
    save(folder / "synthetic-slices.png", _synthetic(engine))


def _overlay(scene: slicer.vtkMRMLScene, views: SliceViews, volume: VolumeNode, found: AnomalyMap) -> np.ndarray:
    found.show_above(LEVEL)
    slice_views.show_over(scene, volume, found.node, OPACITY)
    largest = max(found.regions(LEVEL, smallest_cm3=1.0).regions, key=lambda region: region.volume_cm3)
    slice_views.present(scene, volume, largest.peak_lps_mm)
    for name in ORIENTATIONS:
        width, height, depth = views[name].node.GetFieldOfView()
        views[name].node.SetFieldOfView(ZOOM * width, ZOOM * height, depth)
    others = [views[name].picture() for name in ("Green", "Yellow")]
    axial = views["Red"].node
    axial.SetXYZOrigin(ROOM_FOR_LEGEND * axial.GetFieldOfView()[0], 0.0, 0.0)
    found.show_legend()
    picture = _in_a_row([views["Red"].picture(), *others])
    axial.SetXYZOrigin(0.0, 0.0, 0.0)
    slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(found.node).SetVisibility(False)
    return picture


def _reconstruction(
    scene: slicer.vtkMRMLScene, views: SliceViews, engine: LocalEngine, volume: VolumeNode
) -> np.ndarray:
    job = prepare_maps(volume, MODEL, {RECONSTRUCTION: None, RESIDUAL: None}, hardware=Hardware("cpu"))
    maps = job.publish(engine.reconstruct(job.request))
    half = maps.residual.GetDisplayNode().GetWindowLevelMax()
    captions = "input", "reconstruction", f"residual, ±{half:.0f} HU"
    pictures = []
    for node, caption in zip((volume, maps.reconstruction, maps.residual), captions, strict=True):
        slice_views.show_alone(scene, node)
        pictures.append(_with_caption(views["Red"].picture()[BODY], caption))
    return _in_a_row(pictures)


def _synthetic(engine: LocalEngine) -> np.ndarray:
    job = prepare_synthesis(MODEL, SYNTHETIC, seed=0, hardware=Hardware("cpu"))
    node = job.publish(engine.synthesize(job.request))
    display = node.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    grey = (np.clip((slicer.util.arrayFromVolume(node) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    size = SYNTHETIC_SIZE, SYNTHETIC_SIZE
    slices = [np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC).convert("RGB")) for each in grey]
    return _with_caption(_in_a_row(slices), "synthetic slices, drawn by the demonstration model")


def _in_a_row(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (gap, picture)][1:])


def _with_caption(picture: np.ndarray, caption: str) -> np.ndarray:
    below = Image.new("RGB", (picture.shape[1], CAPTION), "white")
    middle = below.width / 2, CAPTION / 2
    font = ImageFont.load_default(CAPTION_SIZE)
    ImageDraw.Draw(below).text(middle, caption, fill="black", font=font, anchor="mm")
    return np.vstack([picture, np.asarray(below)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the pictures")
    folder = parser.parse_args().out
    slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    engine = LocalEngine()
    draw_all(slicer.mrmlScene, engine, folder)
    engine.close()


if __name__ == "__main__":
    main()
