"""Whatever way the pixels are stored, the same values come out, bit for bit."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels import pixel_array as decode_by
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
)

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.dicom_decode import decode
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import stored_ct, write_series

REAL_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
# Real files which pydicom's optional packages can't decode either, so that ITK stands alone: 12-bit JPEG.
ONLY_ITK = {"JPEG-lossy.dcm", "JPGExtended.dcm"}
# Its one fragment holds what looks like the end of the pixels, where every reader here stops.
UNREADABLE = {"JPEG2000-embedded-sequence-delimiter.dcm"}


def compressed_grey_files():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            for path in sorted(REAL_FILES.glob("*.dcm")):
                dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
                syntax = dataset.file_meta.get("TransferSyntaxUID")
                is_single = "rtdose_rle.dcm" not in path.name  # the only one with several frames
                if syntax and syntax.is_encapsulated and dataset.get("SamplesPerPixel") == 1 and is_single:
                    yield path
        finally:
            logging.disable(logging.NOTSET)


FILES = list(compressed_grey_files())


def test_pydicom_brings_compressed_grey_files():
    assert len(FILES) >= 12 and {path.name for path in FILES} >= ONLY_ITK | UNREADABLE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_two_decoders_agree_on_every_real_file(path):
    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    if path.name in UNREADABLE:
        with pytest.raises((RuntimeError, ValueError)):
            decode(path, syntax)
        return
    ours = decode(path, syntax)[0]
    if path.name in ONLY_ITK:
        assert ours.shape == (1024, 256) and ours.max() < 4096
        return
    plugins = get_decoder(syntax).available_plugins
    if not plugins:
        pytest.skip(f"no second decoder of {syntax.name} is installed; pip install python-gdcm")
    for plugin in plugins:
        np.testing.assert_array_equal(ours, decode_by(dataset, decoding_plugin=plugin), err_msg=plugin)


@pytest.mark.parametrize(
    "syntax", [RLELossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian]
)
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_every_encoding_and_type_gives_the_same_values(tmp_path, syntax, kind):
    limits = np.iinfo(kind)
    if syntax == RLELossless and limits.bits == 32:
        limits, kind = np.iinfo(np.uint16), np.uint16  # pydicom writes no RLE of 32 bits
    values = np.random.default_rng(1).integers(limits.min, limits.max, (3, 5, 7), endpoint=True).astype(kind)
    for path in write_series(tmp_path, values, modality="MR", slope=1, intercept=0):
        dataset = pydicom.dcmread(path)
        if syntax == RLELossless:
            dataset.compress(syntax, encoding_plugin="pydicom")  # GDCM ends the process on some types
            dataset.save_as(path)
            continue
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, kind).byteswap().tobytes()
            dataset["PixelData"].VR = "OW" if values.itemsize > 1 else "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
        bare = pydicom.Dataset(dataset)  # which does not know what it was written as before
        bare.file_meta = dataset.file_meta
        is_little = syntax != ExplicitVRBigEndian
        pydicom.dcmwrite(path, bare, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=is_little)
    np.testing.assert_array_equal(read_volume(tmp_path).array, values)


def test_overlays_in_the_unused_bits_are_no_values(tmp_path):
    def use_twelve_bits(dataset, k):
        dataset.BitsStored, dataset.HighBit = 12, 11

    stored = stored_ct()
    write_series(tmp_path / "u", stored | 0x7000, edit=use_twelve_bits)
    np.testing.assert_array_equal(read_volume(tmp_path / "u").array, stored.astype(int) - 1024)
    signed = stored.astype(np.int16) - 2048
    write_series(tmp_path / "s", signed & 0x0FFF, intercept=0, edit=use_twelve_bits)
    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, signed)

    def use_upper_bits(dataset, k):
        dataset.BitsStored, dataset.HighBit = 12, 15

    write_series(tmp_path / "h", stored << 4, edit=use_upper_bits)
    np.testing.assert_array_equal(read_volume(tmp_path / "h").array, stored.astype(int) - 1024)


def test_slices_of_different_types_keep_their_values(tmp_path):
    signed = np.full((12, 10), -5, np.int16)

    def replace(dataset, k):
        if k == 2:
            dataset.PixelRepresentation, dataset.PixelData = 1, signed.tobytes()

    stored = stored_ct() | 0x8000
    write_series(tmp_path, stored, modality="MR", slope=1, intercept=0, edit=replace)
    expected = stored.astype(int)
    expected[2] = -5
    np.testing.assert_array_equal(read_volume(tmp_path).array, expected)


def test_padding_stays_as_the_scanner_wrote_it(tmp_path):
    def pad(dataset, k):
        dataset.PixelPaddingValue = -2000

    stored = stored_ct().astype(np.int16)
    stored[:, 0, 0] = -2000
    write_series(tmp_path, stored, edit=pad)
    np.testing.assert_array_equal(read_volume(tmp_path).array, stored - 1024)


def test_a_compression_that_needs_a_package_is_named(tmp_path, monkeypatch):
    for path in write_series(tmp_path, stored_ct()):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(20)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
        dataset.save_as(path)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(UserError, match=r"compressed as High-Throughput JPEG 2000.*pylibjpeg-openjpeg"):
        read_volume(tmp_path)
