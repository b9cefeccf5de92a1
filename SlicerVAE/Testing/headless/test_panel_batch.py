"""The batch: real files and nodes, the real engine, the files that it leaves."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.manifest import NetworkDescription
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.write import write_volume
from SlicerVAELib.panel.offers import BatchSource
from SlicerVAELib.panel.presenters.batch import BatchPresenter
from Testing.headless.panel_helper import BlockingRunner, LateRunner, Parameters, Window, make_panel
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest

GEOMETRY = Geometry((2, 30, 40), np.diag([-8.0, -8.0, 5.0, 1.0]))


class BatchWindow(Window):
    def __init__(self):
        super().__init__()
        self.lived, self.while_living = [], lambda: None

    def let_live(self):
        self.lived.append(len(self.drawn))
        self.while_living()


@pytest.fixture
def folder(tmp_path):
    """Two CTs and one volume that is neither CT nor MR, each in a folder of its patient."""
    folder = tmp_path / "volumes"
    rng = np.random.default_rng(0)
    for name in ("anna", "bert"):
        (folder / name).mkdir(parents=True)
        write_volume(folder / name / "ct.nrrd", rng.integers(-1000, 600, GEOMETRY.shape).astype(np.int16), GEOMETRY)
    (folder / "carl").mkdir()
    write_volume(folder / "carl" / "odd.nrrd", rng.normal(size=GEOMETRY.shape).astype(np.float32), GEOMETRY)
    return folder


@pytest.fixture
def start(scene, engine, ct_bundle, folder, tmp_path):
    def start(runner=None, **values):
        chosen = {"modelPath": ct_bundle, "batchFolder": folder, "batchOutput": tmp_path / "out"} | values
        panel = make_panel(runner or BlockingRunner(engine), Parameters(**chosen))
        window = BatchWindow()
        presenter = BatchPresenter(window, panel)
        panel.open(presenter)
        return panel, presenter, window

    return start


def report(folder) -> list[dict[str, str]]:
    with (folder / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_every_volume_gets_what_the_command_line_writes(start, tmp_path):
    panel, presenter, window = start(batchWithWarnings=True)
    presenter.run()
    out = tmp_path / "out"
    assert panel.runs.status.text.startswith("3 of 3 volumes are done") and not panel.runs.status.is_error
    (anna, *others) = [path for path in sorted(out.iterdir()) if path.is_dir()]
    assert len(others) == 2 and "anna" in anna.name
    names = {path.name for path in anna.iterdir()}
    assert names == {"reconstruction.nrrd", "residual.nrrd", "anomaly.nrrd", "field_of_view.nrrd", "result.json"}
    told = json.loads((anna / "result.json").read_text())
    assert told["provenance"]["bundle_name"] == "tiny" and "read" in told["timings_s"]
    assert told["provenance"]["parameters"]["warnings overridden by"] and told["provenance"]["warnings"]
    rows = report(out)
    assert [row["outcome"] for row in rows] == ["done"] * 3 and float(rows[0]["seen_by_the_model"]) > 0.9
    assert [row.volume for row in window.now.rows] == [row["volume"] for row in rows]


def test_volumes_with_warnings_are_left_out_unless_wanted(start, tmp_path):
    panel, presenter, _ = start()
    presenter.run()
    assert "0 of 3" in panel.runs.status.text
    assert all(row["outcome"].startswith("not run, because of warnings") for row in report(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.csv"]


def test_one_that_fails_does_not_stop_the_others(start, folder, tmp_path):
    (folder / "anna" / "ct.nrrd").write_bytes((folder / "anna" / "ct.nrrd").read_bytes()[:300])
    panel, presenter, _ = start(batchWithWarnings=True)
    presenter.run()
    outcomes = {row["volume"].split()[0]: row["outcome"] for row in report(tmp_path / "out")}
    assert outcomes["bert"] == "done" and "ct.nrrd" in outcomes["anna"] and "2 of 3" in panel.runs.status.text


def test_volumes_of_the_scene_without_what_was_made_of_them(start, add_volume, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("thorax", "thorax", "dose", "made"):
        node = add_volume(rng.integers(-1000, 600, GEOMETRY.shape).astype(np.int16), GEOMETRY.ijk_to_ras, name)
        if name == "dose":
            node.SetAttribute("DicomRtImport.DoseVolume", "1")
    node.SetAttribute("SlicerVAE.Kind", "reconstruction")
    panel, presenter, _ = start(batchSource=BatchSource.SCENE, batchWithWarnings=True)
    presenter.run()
    assert [row["volume"] for row in report(tmp_path / "out")] == ["thorax", "thorax (2)"]
    assert "2 of 2" in panel.runs.status.text


@pytest.mark.parametrize("moment", [1, 3, 6])
def test_cancel_keeps_what_is_done_and_says_so(start, tmp_path, moment):
    panel, presenter, window = start(batchWithWarnings=True)
    window.while_living = lambda: panel.runs.cancel() if len(window.lived) == moment else None
    presenter.run()
    assert panel.is_idle and panel.runs.status.text.startswith("Cancelled")
    done = list((tmp_path / "out").glob("*/result.json"))
    assert bool(done) == ("what was done before" in panel.runs.status.text)
    if done:
        assert len(report(tmp_path / "out")) == len(done)


def test_what_is_missing_is_said(start, tmp_path):
    panel, presenter, window = start(LateRunner(None), batchFolder=Path())
    assert window.now.hint == "Choose the folder with the volumes."
    panel.parameters.batchFolder, panel.parameters.batchOutput = tmp_path, Path()
    assert window.now.hint == "Choose an output folder."
    panel.parameters.batchOutput = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    panel.parameters.batchFolder = tmp_path / "empty"
    presenter.run()
    assert panel.runs.status.is_error and "holds no CT" in panel.runs.status.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "preprocessing", "option"),
    [
        ({"structures": 1, "filters": 1}, {"structures": ("Heart",)}, "Heart.*--structures"),
        ({"channels": 2, "filters": 1, "latent": 2}, {"channels": ("CT", "PET")}, "PET.*--channel"),
    ],
)
def test_what_a_batch_can_not_give_is_refused_before_anything_runs(start, tmp_path, settings, preprocessing, option):
    made = Preprocessing(HounsfieldWindow(), 64, 6.0, **preprocessing)
    family = "conv_pool_structures" if "structures" in settings else "conv_pool_vae"
    network = NetworkDescription(family, {"size": 64, **settings})
    manifest = tiny_manifest(network=network, preprocessing=made)
    write_bundle(tmp_path / "needy", manifest, build(family, network.settings), card="# Small\n", preview=PREVIEW_PNG)
    runner = LateRunner(None)
    _, presenter, window = start(runner, modelPath=tmp_path / "needy")
    presenter.run()
    assert re.search(option, window.now.hint) and runner.requests == [] and not (tmp_path / "out").exists()
