"""From a volume to a model's slices and back: what a person could notice on their own images."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.stack import model_grid, prepare
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from Testing.headless.twins import body, grid, hounsfield, positions, rotation, twin

WIDE = HounsfieldWindow(lower=-1000.0, upper=1000.0)
OBLIQUE = rotation((0.2, 1, 0.4), 25)
SHEAR = np.array([[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1.0]])
TYPES = [
    "bool",
    "uint8",
    "int16",
    "uint16",
    ">i2",
    ">u2",
    "int32",
    "uint32",
    "int64",
    "float16",
    ">f4",
    "float64",
    ">f8",
]
LAYOUTS = {
    "contiguous": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("turn", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("intensity", [WIDE, ForegroundPercentiles()], ids=lambda i: i.kind)
@pytest.mark.parametrize("dtype", [*TYPES, "longdouble"])
def test_any_real_type_and_layout_gives_what_float32_gives_and_stays_untouched(dtype, intensity, turn, layout):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 120, (4, 9, 11))
    geometry = grid(values.shape, (4.0, 4.0, 5.0), turn)
    preprocessing = Preprocessing(intensity, 16, 3.0)
    array = LAYOUTS[layout](values.astype(dtype))
    before = array.copy()
    pixels = prepare(Volume(array, geometry, Modality.MR), preprocessing).pixels
    reference = prepare(Volume(values.astype(np.float32), geometry, Modality.MR), preprocessing).pixels
    torch.testing.assert_close(pixels, reference, atol=1e-4, rtol=0)
    assert np.array_equal(array, before)


def test_a_guarded_array_is_taken_without_a_word():
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        import numpy as np
        from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
        from SlicerVAELib.core.stack import prepare
        from SlicerVAELib.core.volume import Modality, Volume
        from Testing.headless.twins import grid
        array = np.zeros((3, 8, 8), np.float32)
        array.flags.writeable = False
        prepare(Volume(array, grid(array.shape, (2, 2, 3)), Modality.CT), Preprocessing(HounsfieldWindow(), 16, 2.0))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("turn", [None, OBLIQUE], ids=["straight", "oblique"])
def test_a_float_image_beyond_the_window_keeps_its_values(turn):
    array = np.random.default_rng(0).normal(0, 3000, (4, 9, 11)).astype(np.float32)
    before = array.copy()
    prepare(Volume(array, grid(array.shape, (4.0, 4.0, 5.0), turn), Modality.CT), Preprocessing(WIDE, 16, 3.0))
    assert np.array_equal(array, before)


@pytest.mark.parametrize("turn", [None, OBLIQUE, SHEAR], ids=["straight", "oblique", "sheared"])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 3.0), (1.5, 1.5, 5.0), (3.0, 2.0, 2.0)])
def test_there_and_back_recovers_a_smooth_image_inside_the_field_of_view(turn, spacing):
    volume = body(grid(tuple(int(110 / s) for s in reversed(spacing)), spacing, turn))
    stack = prepare(volume, Preprocessing(WIDE, 40, 2.0))  # 80 mm: less than the image
    back = stack.to_source(stack.pixels[:, 0], fill=-1.0) * stack.scale + stack.window[0]
    # A slice's thickness from the edge, what lies outside of the image joins in.
    inner = _well_inside(volume.geometry, stack.geometry)
    assert 0.1 < inner.mean() < 0.9
    assert stack.seen()[inner].all()
    assert np.abs(back - volume.array)[inner].max() < 0.03 * np.ptp(volume.array)


def _well_inside(source: Geometry, model: Geometry) -> np.ndarray:
    margin = 5.0
    in_model = np.abs(positions(source) - model.centre) < np.array(model.shape[::-1]) * model.spacing / 2 - margin
    k, j, i = np.meshgrid(*(np.arange(n) for n in source.shape), indexing="ij")
    index = np.stack([i, j, k], axis=-1)
    rim = np.ceil(margin / source.spacing) + 1
    return in_model.all(axis=-1) & ((index >= rim) & (index <= np.array(source.shape[::-1]) - 1 - rim)).all(axis=-1)


def test_the_stack_runs_to_the_left_to_the_back_and_to_the_head():
    volume = body(grid((30, 50, 50), (3.0, 3.0, 4.0), OBLIQUE))
    stack = prepare(volume, Preprocessing(WIDE, 32, 4.0))
    matrix = stack.geometry.ijk_to_ras
    np.testing.assert_allclose(matrix[:3, :3], np.diag([-4.0, -4.0, 4.0]))
    truth = (hounsfield(positions(stack.geometry)) + 1000) / 2000
    inner = _well_inside(stack.geometry, volume.geometry)
    error = np.abs(stack.pixels[:, 0].numpy() - truth)[inner]
    assert np.median(error) < 0.01


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)], ids=["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_slices_stay_one_to_one_when_no_step_is_asked_for(count, flip, order):
    array = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None] * 25, (count, 20, 20)).copy()
    volume = twin(Volume(array, grid(array.shape, (2.0, 2.0, 3.7)), Modality.CT), order, (flip, flip, flip))
    stack = prepare(volume, Preprocessing(HounsfieldWindow(lower=0.0, upper=1000.0), 16, 2.0))
    expected = torch.arange(count)[:, None, None].expand(-1, 16, 16) * 0.025
    torch.testing.assert_close(stack.pixels[:, 0], expected, atol=1e-6, rtol=0)
    assert np.allclose(np.diff(stack.positions_mm()), 3.7)


@pytest.mark.parametrize("count", [30, 31])
@pytest.mark.parametrize("degrees", [0.05, 0.1, 0.3, 1.0])
def test_a_slightly_tilted_scan_keeps_its_middle_slice(count, degrees):
    """A fraction of a degree must not shift thick slices by half a step, which would blur every one of them."""
    tilted = grid((count, 512, 512), (0.5, 0.5, 4.0), rotation((1, 0, 0), degrees))
    volume = Volume(np.broadcast_to(np.int16(0), tilted.shape), tilted, Modality.CT)
    heights = np.array(prepare_grid(volume).ijk_to_ras[2, 3] + 4.0 * np.arange(prepare_grid(volume).shape[0]))
    middle = tilted.ijk_to_ras @ [255.5, 255.5, count // 2, 1]
    assert np.abs(heights - middle[2]).min() < 0.01


def prepare_grid(volume: Volume) -> Geometry:
    return model_grid(volume, Preprocessing(WIDE, 128, 2.0))


def test_a_slice_step_is_kept_and_thin_slices_are_averaged():
    noise = np.random.default_rng(0).normal(0, 100, (60, 8, 8)).astype(np.float32)
    volume = Volume(noise, grid(noise.shape, (2.0, 2.0, 1.0)), Modality.CT)
    stack = prepare(volume, Preprocessing(WIDE, 8, 2.0, slice_step_mm=5.0))
    assert stack.pixels.shape[0] == 12
    assert np.allclose(np.diff(stack.positions_mm()), 5.0)
    assert stack.pixels.std() * stack.scale < 100 * 5**-0.5


def test_a_head_that_lies_beside_the_middle_is_centred_where_that_is_asked_for():
    array = np.zeros((6, 60, 60), np.int16)
    array[:, 5:25, 30:56] = 500
    volume = Volume(array, grid(array.shape, (2.0, 2.0, 4.0)), Modality.MR)
    intensity = ForegroundPercentiles()
    centred = prepare(volume, Preprocessing(intensity, 32, 2.0, "foreground")).pixels[:, 0]
    assert centred.sum() * 500 == pytest.approx(array.sum(), rel=0.01)
    beside = prepare(volume, Preprocessing(intensity, 32, 2.0, "grid")).pixels[:, 0]
    assert beside.sum() < 0.7 * centred.sum()


@pytest.mark.parametrize("turn", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 1, 20), (20, 20, 1), (1, 1, 1)])
def test_flat_volumes_pass(shape, turn):
    volume = body(grid(shape, (3.0, 3.0, 3.0), turn))
    stack = prepare(volume, Preprocessing(WIDE, 16, 6.0))
    back = stack.to_source(stack.pixels[:, 0], fill=-1.0)
    assert back.shape == shape
    assert stack.seen().any()
    assert np.isfinite(back).all()
