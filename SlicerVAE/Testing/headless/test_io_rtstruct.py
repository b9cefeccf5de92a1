"""What an RT structure set says of its structures besides their contours, and what is left out of it."""

import numpy as np
import pydicom
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.rtstruct import Roi, StructureSet, read_rtstruct
from Testing.headless.dicom_series import save, write_structures

SQUARE = np.array([[0, 0, 5], [10, 0, 5], [10, 10, 5], [0, 10, 5]], dtype=float)
CLOSED = ("CLOSED_PLANAR", SQUARE)


def test_numbers_types_and_colours_of_a_real_structure_set(shared_data):
    structures = read_rtstruct(shared_data / "rt" / "rtss.dcm")
    assert list(structures.rois) == list(structures.contours)
    assert structures.rois["BODY"] == Roi(1, "EXTERNAL", (154, 155, 100))
    assert structures.rois["Tumor Bed"].interpreted_type == "CTV" and structures.rois["Heart"].number == 5
    assert structures.notes == ("'Areola' has no contours and is left out.",)


@pytest.fixture
def edited(tmp_path):
    def make(structures, edit=lambda dataset: None) -> StructureSet:
        path = write_structures(tmp_path / "rs.dcm", structures)
        dataset = pydicom.dcmread(path)
        edit(dataset)
        save(dataset, path)
        return read_rtstruct(path)

    return make


def test_what_is_left_out_is_counted_and_told(edited):
    structures = edited(
        [
            ("Heart", [CLOSED, ("POINT", SQUARE[:1]), ("OPEN_PLANAR", SQUARE), ("POINT", SQUARE[:1])]),
            ("Wire", [("OPEN_PLANAR", SQUARE)]),
            ("Dot", [("CLOSED_PLANAR", SQUARE[:2])]),
            ("Lung", [CLOSED]),
            ("Empty", []),
        ]
    )
    assert {name: roi.left_out for name, roi in structures.rois.items()} == {"Heart": 3, "Lung": 0}
    assert structures.notes == (
        "'Heart': 2 point and 1 open contours are left out.",
        "'Wire': 1 open contour is left out, and with it the structure, which has no others.",
        "'Dot': 1 too short contour is left out, and with it the structure, which has no others.",
        "'Empty' has no contours and is left out.",
    )


def test_equal_names_keep_their_own_numbers(edited):
    structures = edited([("Heart", [CLOSED]), ("Heart", [CLOSED])])
    assert {name: roi.number for name, roi in structures.rois.items()} == {"Heart": 1, "Heart (2)": 2}


def test_a_structure_that_was_never_drawn_is_told(edited):
    def forget(dataset):
        del dataset.ROIContourSequence[1]

    assert edited([("A", [CLOSED]), ("B", [CLOSED])], forget).notes == ("'B' has no contours and is left out.",)


@pytest.mark.parametrize(("colour", "expected"), [([1, 2, 300], (1, 2, 255)), (None, None), ([7, 8], None)])
def test_colours_are_whole_or_none(edited, colour, expected):
    def paint(dataset):
        dataset.ROIContourSequence[0].ROIDisplayColor = colour

    assert edited([("A", [CLOSED])], paint).rois["A"].colour == expected


def test_names_keep_their_letters(edited):
    def name(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StructureSetROISequence[0].ROIName = "Rückenmark"

    assert list(edited([("A", [CLOSED])], name).contours) == ["Rückenmark"]


def test_fields_that_older_callers_do_not_give_have_defaults():
    assert StructureSet({}, frozenset(), frozenset()).notes == ()


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = write_structures(tmp_path / "rs.dcm", [("A", [CLOSED] * 50)])
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="damaged or cut off"):
        read_rtstruct(path)
