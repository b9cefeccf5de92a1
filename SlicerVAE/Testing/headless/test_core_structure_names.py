"""What clinics call structures, matched to standard names."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.tg263 import PAIRED, SINGLE

NAMES = StructureNames()
STANDARDS = sorted(
    {line.partition(":")[0] for line in SINGLE.strip().splitlines()}
    | {f"{pair.base}_{side}" for pair in PAIRED for side in "LR"}
    | {pair.both for pair in PAIRED if pair.both}
    | {"GTV", "CTVn", "GTVp", "CTVsb", "ITV", "PTV_High", "PTV_5000", "PTVn_Low_0800", "SpinalCord_PRV05", "Lung_L_PRV"}
)


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("Lt Lung", "Lung_L"),
        ("Lung Left", "Lung_L"),
        ("LUNG_LT", "Lung_L"),
        ("Lunge li", "Lung_L"),
        ("linke Lunge", "Lung_L"),
        ("Lunge re.", "Lung_R"),
        ("Poumon G", "Lung_L"),
        ("poumon droit", "Lung_R"),
        ("Kidney (R)", "Kidney_R"),
        ("Rein_D", "Kidney_R"),
        ("R Eye", "Eye_R"),
        ("N. opticus li", "OpticNrv_L"),
        ("Nerf optique gauche", "OpticNrv_L"),
        ("Left Submandibular Gland", "Glnd_Submand_L"),
        ("Chest Wall L", "Chestwall_L"),
        ("Fem Head Rt", "Femur_Head_R"),
        ("Lungs", "Lungs"),
        ("Both lungs", "Lungs"),
        ("Lunge bds.", "Lungs"),
        ("Lung L+R", "Lungs"),
        ("Parotiden", "Parotids"),
        ("cord", "SpinalCord"),
        ("Rückenmark", "SpinalCord"),
        ("RUECKENMARK", "SpinalCord"),
        ("Moelle épinière", "SpinalCord"),
        ("Spinal Canal", "SpinalCanal"),
        ("Brain Stem", "Brainstem"),
        ("Œsophage", "Esophagus"),
        ("oesophagus", "Esophagus"),
        ("Harnblase", "Bladder"),
        ("vessie", "Bladder"),
        ("BODY", "External"),
        ("Couch", "CouchSurface"),
        ("bowel bag", "Bag_Bowel"),
        ("Colon_Descending", "Colon_Decending"),
        ("ptv-5040", "PTV_5040"),
        ("PTV5040", "PTV_5040"),
        ("PTV 50.4 Gy", "PTV_5040"),
        ("PTV_50p4Gy", "PTV_5040"),
        ("PTV 8Gy", "PTV_0800"),
        ("CTV N 4500cGy", "CTVn_4500"),
        ("gtv", "GTV"),
        ("Cord PRV 5mm", "SpinalCord_PRV05"),
    ],
)
def test_clinics_names(name, standard):
    assert NAMES.standard(name) == standard


@pytest.mark.parametrize(
    "name",
    [
        *("Lung", "Lunge", "Poumon", "Kidney", "Parotid", "Femoral Head", "Eye"),  # which one?
        *("Lung D", "Lung re", "Lung_LUL", "Ung L"),  # not the side's abbreviation in that language; a lobe
        *("PTV_5000_2", "PTV5000 2", "PTV_500_2", "PTV 50", "PTV_504", "PTV_eval", "zPTV", "PTV1", "PTV_PRV05"),
        *("Heart (2)", "Heart2", "Lungs-PTV", "Ring", "Borders", "", " ", "_", "PRV", "L", "External_PRV05"),
    ],
)
def test_what_is_not_certain_stays_without_a_standard_name(name):
    assert NAMES.standard(name) is None


def test_the_real_structure_sets_names(shared_data):
    from SlicerVAELib.io.rtstruct import read_rtstruct

    names = read_rtstruct(shared_data / "rt" / "rtss.dcm").contours
    matched = {name: standard for name, standard in NAMES.matched(names).items() if standard}
    assert matched == {
        "BODY": "External",
        "Heart": "Heart",
        "Lt Lung": "Lung_L",
        "Scar": "Scar",
        "Tumor Bed": "TumorBed",
    }


@pytest.mark.parametrize("name", STANDARDS)
def test_a_standard_name_is_its_own(name):
    assert NAMES.standard(name) == name


def test_the_table_is_large_and_says_each_side_once():
    assert len(STANDARDS) >= 120
    for name in STANDARDS:
        if name.endswith("_L") and name not in ("Ventricle_L",):
            assert f"{name[:-1]}R" in STANDARDS


SPOKEN = ["Lt Lung", "both lungs", "tronc cérébral", "N. opticus li", "moelle épinière", "head of femur right"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from([*STANDARDS, *SPOKEN]), st.data())
def test_case_and_separators_make_no_difference(name, data):
    parts = re.split(r"[ _\-]", name)
    respelled = parts[0]
    for part in parts[1:]:
        respelled += data.draw(st.sampled_from([" ", "_", "-", "  ", " - "])) + part
    change = data.draw(st.sampled_from([str.upper, str.lower, str.swapcase, str.title]))
    assert NAMES.standard(f" {change(respelled)} ") == NAMES.standard(name)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=30))
@example("ß")
@example("İ_L")
def test_any_text_is_matched_to_a_fixed_point_or_to_nothing(name):
    standard = NAMES.standard(name)
    assert standard is None or NAMES.standard(standard) == standard


SIDED = [pair.base for pair in PAIRED if pair.base != "Chestwall"]  # the whole chest wall is a structure, too


@pytest.mark.parametrize("base", SIDED)
def test_a_side_is_never_guessed(base):
    assert NAMES.standard(base) is None
    assert NAMES.standard(f"{base} left") == f"{base}_L" and NAMES.standard(f"Rt {base}") == f"{base}_R"


def test_two_structures_with_one_meaning_have_none():
    names = ["Lung L", "Heart", "Lt Lung", "Mystery", "Cord", "Cord"]
    assert NAMES.matched(names) == {"Lung L": None, "Heart": "Heart", "Lt Lung": None, "Mystery": None, "Cord": None}
    first, second = NAMES.doubts(names)
    assert "'Lung L' and 'Lt Lung'" in first and "Lung_L" in first
    assert "SpinalCord" in second and NAMES.doubts(["Lung L", "Heart"]) == []


@pytest.mark.parametrize(
    ("wanted", "names", "meant"),
    [
        ("Lung_L", ["lung_l", "Lung_L"], "Lung_L"),
        ("Lung_L", ["Lung_R", "lung_l"], "lung_l"),
        ("Lung_L", ["Lunge li", "Lung"], "Lunge li"),
        ("Myelon", ["Spinal Cord", "Heart"], "Spinal Cord"),
        ("Lung_L", ["Lung", "Lung_R"], None),
        ("Our own", ["our OWN"], "our OWN"),
        ("Our own", ["Ours"], None),
    ],
)
def test_a_wanted_structure_is_found_by_its_name_or_its_meaning(wanted, names, meant):
    assert NAMES.meant(wanted, names) == meant


@pytest.mark.parametrize("names", [["Left Lung", "Lunge li"], ["LUNG_l", "lung_L"]])
def test_a_wanted_structure_that_two_may_be_is_refused(names):
    with pytest.raises(UserError, match=f"'{names[0]}' and '{names[1]}' may each be the structure 'Lung_L'"):
        NAMES.meant("Lung_L", names)


def test_what_has_a_standard_name_gets_it_and_the_rest_keep_theirs():
    given = {"Lunge li": 1, "Herz": 2, "Heart": 3, "Ring": 4}
    assert NAMES.standardised(given) == {"Lung_L": 1, "Herz": 2, "Heart": 3, "Ring": 4}


# --- A site's own file -----------------------------------------------------------------------------------------------
@pytest.fixture
def site(tmp_path):
    def write(text: str, encoding: str = "utf-8") -> StructureNames:
        path = tmp_path / "site.txt"
        path.write_bytes(text.encode(encoding))
        return StructureNames(path)

    return write


def test_a_site_adds_synonyms_and_names(site):
    names = site(
        "# Our names\n\nlung_l: Lg sin, Pulmo sinister  # since 2019\nRing_50: Ring, Dose ring\nPTV_6000: PTV boost\n"
    )
    assert names.standard("LG_SIN") == "Lung_L" and names.standard("pulmo-sinister") == "Lung_L"
    assert names.standard("dose ring") == names.standard("ring 50") == "Ring_50"
    assert names.standard("PTV boost") == "PTV_6000" and names.standard("Heart") == "Heart"
    assert NAMES.standard("Ring") is None  # nobody else's


def test_a_file_from_windows_is_read(site):
    assert site("Heart: Pompe\r\nRing: Grün\r\n", "utf-8-sig").standard("Pompe") == "Heart"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("Heart: Pump\nLung_L Lt\n", 2, "is not 'standard name: synonym, synonym'"),
        (": Pump\n", 1, "is not 'standard name: synonym, synonym'"),
        ("Heart: Pump\nLung_L: Pump\n", 2, "'Pump' already means Heart"),
        ("# sides\nLung_R: Lung_L\n", 2, "'Lung_L' already means Lung_L"),
        ("Lung_R: Left lung\n", 1, "'Left lung' already means Lung_L"),
        ("Cord: Myelon\n", 1, "'Cord' is no standard name but means SpinalCord"),
    ],
)
def test_a_bad_line_is_named(site, tmp_path, text, line, why):
    with pytest.raises(UserError) as caught:
        site(text)
    assert str(caught.value).startswith(f"{tmp_path / 'site.txt'}, line {line}") and why in str(caught.value)


def test_a_file_that_can_not_be_read_is_named(site, tmp_path):
    with pytest.raises(UserError, match=r"missing\.txt can't be read"):
        StructureNames(tmp_path / "missing.txt")
    with pytest.raises(UserError, match=r"site\.txt is not a text file in UTF-8"):
        site("Heart: Größe", "latin-1")
