"""The benchmark of clinical input, on small images: what it compares is the same work, and it tells every figure."""

import math

import pytest

from slicervae.benchmarks import clinical
from SlicerVAELib.core.progress import ignore
from SlicerVAELib.io.read import read_volume


@pytest.fixture
def small(monkeypatch):
    for name, value in {"SIZE": 64, "SLICES": 20, "SHOWN": 10, "MODEL_SIZE": 32, "CONTOURED": 6}.items():
        monkeypatch.setattr(clinical, name, value)
    monkeypatch.setattr(clinical, "STRUCTURES", 1)


def test_every_figure_is_measured(small):
    figures = clinical.measure(1, ignore)
    told = {figure.what: figure for figure in figures}
    assert [figure.target for figure in figures] == [1.5, None, 1.0, None, 3.0, 500]
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in figures)
    assert {figure.unit for figure in figures} == {"×", "s", "MB"}
    assert sum("64×64×20" in name for name in told) == 4 and sum("64×64×6" in name for name in told) == 2


def test_readers_that_disagree_stop_it(small, monkeypatch, tmp_path):
    def shifted(folder):
        volume = read_volume(folder)
        return volume.replace(array=volume.array + 1)

    monkeypatch.setattr(clinical, "read_volume", shifted)
    with pytest.raises(RuntimeError, match="do not agree"):
        clinical.measure(1, ignore)
