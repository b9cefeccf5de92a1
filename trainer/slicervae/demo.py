"""The main job from nothing to a report: a cohort, a trained model, and its use on a held-out patient in a scene.

This is the one file of the package that may use the scene: it does in a terminal what a person does in Slicer, with
the same logic, the same worker and real nodes.
"""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from SlicerVAELib.core.declaration import PHANTOM
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import Manifest
from SlicerVAELib.core.progress import Cancel, Listener, Progress, part_of
from SlicerVAELib.core.records import to_data
from SlicerVAELib.core.volume import Modality, Volume
from SlicerVAELib.io.discover import Found, discover
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.write import write_json_atomically, write_volume

from .export import export
from .phantom import write_cohort
from .pictures import axial_view, contact_sheet, learning_curve, maps_side_by_side
from .recipe import Recipe, load_recipe
from .report import Report
from .training.fit import fit
from .training.run_folder import RunFolder, TrainingState

PATIENTS = 20
HELD_OUT, SHOWN = 2, 1  # the second of two: lesions take turns, and an effusion is seen at a glance
SETTINGS = ("size=128", "batch_size=16", "epochs=16")
SAMPLES = 24
COHORT_SEED, HELD_OUT_SEED, SEED = 1, 2, 0


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A held-out patient's arrays as they came out of the scene, and what is known of the truth."""

    volume: Volume
    arrays: dict[str, np.ndarray]
    truth: np.ndarray | None
    anomaly_unit: str
    notices: tuple[str, ...]


def demo(out: Path, data: Path | None, *, listener: Listener, cancel: Cancel) -> dict[str, Any]:
    """Run the demonstration into the new or empty folder ``out`` and return the content of summary.json.

    Without ``data`` a cohort of phantoms is made: healthy ones to train, others with a lesion to look at. With it, the
    recipe trains on that folder, less its last patient, who is looked at.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose another --out or remove it first.")
    out.mkdir(parents=True, exist_ok=True)
    recipe = load_recipe("vae50", SETTINGS)
    clock = _Stages(listener)
    with clock.stage("making phantom patients", 0.0, 0.12) as share:
        cohort, held_out, truth = _patients(out, data, share, cancel)
    if data is not None:
        recipe = load_recipe("vae50", (*SETTINGS, f"data.exclude_patients={json.dumps([held_out.patient])}"))
    with clock.stage("training", 0.12, 0.9) as share:
        state = fit(recipe, cohort, out / "run", seed=SEED, listener=share, cancel=cancel)
    with clock.stage("exporting the model", 0.9, 0.92):
        bundle = out / "bundle"
        manifest = export(out / "run", bundle, name="phantom-thorax" if data is None else "demo", is_demonstration=True)
    with clock.stage("using it in a scene", 0.92, 0.98) as share:
        shown, samples = _in_scene(bundle, held_out.read(), truth, share, cancel)
    with clock.stage("writing the report", 0.98, 1.0):
        _write_volumes(out, shown)
        summary = _summary(manifest, recipe, state, shown, clock.seconds, data)
        page = _report(shown, samples, RunFolder(out / "run"), summary).html()
        (out / "report.html").write_text(page, encoding="utf-8")
        write_json_atomically(out / "summary.json", summary)
    return summary


def _patients(
    out: Path, data: Path | None, listener: Listener, cancel: Cancel
) -> tuple[Path, Found, np.ndarray | None]:
    """The folder to train on, the patient to look at, and the true lesion where it is known."""
    if data is not None:
        found = discover(data, cancel=cancel)
        if len({item.patient for item in found}) < 2:
            raise UserError(f"{data} holds a single patient; the demonstration needs one more to look at.")
        return data, found[-1], None
    healthy, ill = out / "phantoms", out / "held-out"
    write_cohort(healthy, patients=PATIENTS, seed=COHORT_SEED, lesion_share=0.0, progress=listener, cancel=cancel)
    write_cohort(ill, patients=HELD_OUT, seed=HELD_OUT_SEED, lesion_share=1.0, cancel=cancel)
    item = discover(ill, cancel=cancel)[SHOWN]
    truth = read_volume(ill / "truth" / f"{item.patient}_lesion.nrrd")
    return healthy, item, truth.array != 0


def _in_scene(
    bundle: Path, volume: Volume, truth: np.ndarray | None, listener: Listener, cancel: Cancel
) -> tuple[Shown, np.ndarray]:
    """Load the patient into a scene and do what the panel's buttons do, through the worker."""
    import slicer
    import slicer.util

    from SlicerVAELib.core.anomaly import METHODS
    from SlicerVAELib.scene.logic import SceneLogic
    from SlicerVAELib.worker.client import WorkerEngine

    slicer.mrmlScene = slicer.vtkMRMLScene()  # outside the application nobody else sets it
    node = slicer.util.addVolumeFromArray(volume.array, volume.geometry.ijk_to_ras, name=volume.source.patient)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    # What Slicer's DICOM import would have noted.
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    hierarchy.SetItemAttribute(item, "DICOM.SeriesDescription", volume.source.description)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", str(volume.modality))
    with WorkerEngine() as engine:
        logic = SceneLogic(engine)
        # On --data the model looks at patients, though it is called a demonstration.
        override = volume.source.description != PHANTOM
        maps = logic.reconstruct(node, bundle, override=override, progress=listener, cancel=cancel)
        anomaly = logic.detectAnomalies(node, bundle, override=override, progress=listener, cancel=cancel).anomaly
        samples = logic.synthesize(bundle, SAMPLES, SEED, progress=listener, cancel=cancel)
    nodes = {"input": node, "reconstruction": maps.reconstruction, "residual": maps.residual, "anomaly": anomaly}
    assert maps.reconstruction is not None, "reconstruct always writes one"
    arrays = {name: slicer.util.arrayFromVolume(node).copy() for name, node in nodes.items()}
    warnings = json.loads(maps.reconstruction.GetAttribute("SlicerVAE.Warnings"))
    unit = METHODS["absolute-residual"].unit
    return Shown(volume, arrays, truth, unit, tuple(warnings)), slicer.util.arrayFromVolume(samples).copy()


def _write_volumes(out: Path, shown: Shown) -> None:
    folder = out / "volumes"
    folder.mkdir()
    for name, array in shown.arrays.items():
        write_volume(folder / f"{name}.nrrd", array, shown.volume.geometry)
    if shown.truth is not None:
        write_volume(folder / "truth.nrrd", shown.truth.astype(np.uint8), shown.volume.geometry)


def _summary(
    manifest: Manifest, recipe: Recipe, state: TrainingState, shown: Shown, seconds: dict[str, float], data: Path | None
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "model": manifest.title,
        "bundle_sha256": manifest.checksum,
        "recipe": to_data(recipe),
        "data": "phantoms" if data is None else str(data),
        "training_patients": manifest.declaration.training_patients,
        "epochs": state.rows[-1]["epoch"],
        "quality": manifest.quality,
        "held_out_patient": shown.volume.source.patient,
        "notices": list(shown.notices),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    if shown.truth is not None:
        anomaly = shown.arrays["anomaly"]
        elsewhere = (anomaly >= 0) & ~shown.truth
        summary["anomaly_in_lesion"] = float(anomaly[shown.truth].mean())
        summary["anomaly_elsewhere"] = float(anomaly[elsewhere].mean())
    return summary


def _report(shown: Shown, samples: np.ndarray, run: RunFolder, summary: dict[str, Any]) -> Report:
    record, state = run.record(), run.load()
    assert state is not None, "a finished run has a checkpoint"
    window = record.preprocessing.intensity.window(shown.volume.array)
    views = {name: axial_view(array, shown.volume.geometry) for name, array in shown.arrays.items()}
    truth = None if shown.truth is None else axial_view(shown.truth, shown.volume.geometry)
    rows = _slices_to_show(views["anomaly"], truth)
    report = Report(
        "SlicerVAE: what a model finds in a patient it has never seen",
        f"{summary['model']}, a variational autoencoder trained on {summary['training_patients']} patients in "
        f"{summary['seconds']['training']:.0f} seconds, looks at patient {summary['held_out_patient']}.",
    )
    report.paragraph(
        "Research and decision support; not a diagnosis. Where the map is dark the model found nothing, which does not "
        "mean that the anatomy is normal.",
        note=True,
    )
    report.heading("Reconstruction and anomaly map")
    report.paragraph(
        "The model squeezes each slice into 50 numbers and draws it again from them. It knows only the anatomy it was "
        "trained on, so what it can't draw stays behind in the residual, and the anomaly map shows where that is more "
        "than the model's usual error σ."
        + (" The lesion, which no training patient had, is outlined in green." if truth is not None else "")
    )
    titles = [f"slice {k + 1} of {len(views['input'])}" for k in rows]
    picture = maps_side_by_side(
        views,
        rows,
        window=window,
        unit=shown.volume.modality.unit,
        anomaly_unit=shown.anomaly_unit,
        truth=truth,
        row_titles=titles,
    )
    report.picture(picture, "Axial slices seen from the feet: the patient's right is on the left of each picture.")
    if truth is not None:
        report.paragraph(
            f"Mean anomaly inside the lesion {summary['anomaly_in_lesion']:.2f} σ, elsewhere "
            f"{summary['anomaly_elsewhere']:.2f} σ."
        )
    report.heading("Synthetic slices")
    report.paragraph(
        "Random numbers decoded: what the model takes for plausible anatomy. Nobody's image. After so short a training "
        "the posteriors do not fill the prior yet, and many draws fall between the anatomies that it knows."
    )
    sheet_window = window if shown.volume.modality is Modality.CT else (0.0, 1.0)
    report.picture(contact_sheet(samples, sheet_window, ""), f"{len(samples)} synthetic slices, seed {SEED}.")
    report.heading("How it learned")
    report.picture(learning_curve(state.rows), "Error and information per slice over the epochs of training.")
    report.heading("Figures")
    report.table([(name.replace("_", " "), f"{value:.5f}") for name, value in summary["quality"].items()])
    report.heading("Time")
    report.table([(name, f"{value:.1f} s") for name, value in summary["seconds"].items()])
    report.heading("What was run")
    report.listing(_commands(summary))
    for notice in summary["notices"]:
        report.paragraph(notice, note=True)
    return report


def _slices_to_show(anomaly: np.ndarray, truth: np.ndarray | None) -> list[int]:
    """Slices through the lesion and away from it; without one, evenly through what the model saw."""
    seen = np.flatnonzero((anomaly >= 0).any(axis=(1, 2)))
    spread = [int(seen[round(share * (len(seen) - 1))]) for share in (0.2, 0.4, 0.6, 0.8)]
    if truth is None or not truth.any():
        return spread
    areas = truth.sum(axis=(1, 2))
    lesion = np.flatnonzero(areas)
    chosen = {int(areas.argmax()), int(lesion[len(lesion) // 4]), *spread[::3]}
    return sorted(chosen, reverse=True)


def _commands(summary: dict[str, Any]) -> list[str]:
    phantoms = summary["data"] == "phantoms"
    data = "phantoms" if phantoms else summary["data"]
    settings = " ".join(f"--set {change}" for change in SETTINGS)
    made = [f"slicervae phantom --patients {PATIENTS} --seed {COHORT_SEED} --lesions 0 --out phantoms"]
    return [
        *(made if phantoms else []),
        f"slicervae fit vae50 --data {data} --out run --seed {SEED} {settings}",
        "slicervae export run --out bundle",
        "slicervae reconstruct bundle PATIENT --out DIR",
        f"slicervae sample bundle --count {SAMPLES} --seed {SEED} --out DIR",
    ]


class _Stages:
    """Seconds of each stage, and one progress bar for all of them."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, start: float, end: float) -> Iterator[Listener]:
        began = time.perf_counter()
        self._listener(Progress(start, name))

        yield part_of(self._listener, start, end)
        self.seconds[name] = time.perf_counter() - began
