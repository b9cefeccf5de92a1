"""``slicervae inspect``: what a folder holds, what is doubtful about it, and what a training would see."""

import base64
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from slicervae.cli import main
from slicervae.data.cohort import find
from slicervae.inspection import inspect
from slicervae.inspection.thumbnails import thumbnail
from slicervae.phantom import write_cohort
from slicervae.recipe import load_recipe
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from Testing.headless.dicom_series import stored_ct, write_series, write_structures
from Testing.headless.orthanc import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(folder, patients=3, seed=1, size=48, slices=12, lesion_share=1)
    return folder


def findings(capsys, *words: object) -> dict:
    assert main(["inspect", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def table(capsys, *words: object) -> str:
    assert main(["inspect", *map(str, words)]) == 0
    return capsys.readouterr().out


def trained_on(command: str) -> tuple[int, int]:
    """How many patients and volumes the command that was suggested would find."""
    words = shlex.split(command)
    assert words[:3] == ["slicervae", "fit", "vae50"]
    recipe = load_recipe("vae50", [value for flag, value in itertools.pairwise(words) if flag == "--set"])
    studies, _ = find(Path(words[words.index("--data") + 1]), recipe.data)
    return len({study.patient for study in studies}), len(studies)


def test_the_phantom_cohort_is_told_as_it_was_made(phantoms, capsys):
    told = findings(capsys, phantoms)
    assert [patient["patient"] for patient in told["patients"]] == ["PHANTOM-0001", "PHANTOM-0002", "PHANTOM-0003"]
    for patient in told["patients"]:
        (volume,) = patient["volumes"]
        assert (volume["modality"], volume["modality_is_inferred"], volume["format"]) == ("CT", False, "DICOM")
        assert (volume["size"], volume["plane"], volume["files"]) == ([48, 48, 12], "axial", 12)
        assert volume["field_of_view_mm"] == pytest.approx([500, 500, 340], abs=0.01)
        assert volume["tube_voltage_kv"] == 120 and volume["intensities"]["minimum"] == -1024
        (structures,) = patient["structure_sets"]
        assert structures["is_of_this_folder"] is True
        assert {item["name"] for item in structures["structures"]} == {
            *("BODY", "Lung_L", "Lung_R", "Heart", "SpinalCord", "PTV"),
        }
        assert [dose["units"] for dose in patient["doses"]] == ["GY"] and len(patient["plans"]) == 1
    # Pixels of 10 mm are too large to draw every patient's cord.
    assert all("structures without contours: SpinalCord" in doubt for doubt in told["doubts"])
    assert told["left_out"] == []
    assert (told["outlook"]["patients"], told["outlook"]["volumes"]) == (3, 3)
    assert trained_on(told["outlook"]["command"]) == (3, 3)


def test_headers_alone_tell_the_same_but_for_the_values(phantoms, capsys):
    told, quick = findings(capsys, phantoms), findings(capsys, phantoms, "--no-pixels")
    assert quick["has_pixels"] is False
    for patient in told["patients"]:
        for volume in patient["volumes"]:
            volume["intensities"] = None
    assert quick["patients"] == told["patients"] and quick["outlook"] == told["outlook"]


def test_every_key_of_the_json_is_documented(phantoms, capsys):
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "inspecting.md").read_text(encoding="utf-8")))

    def keys(data: object) -> set[str]:
        if isinstance(data, dict):
            return {key for key in data if key not in ("CT", "MR")}.union(*map(keys, data.values()))
        return set().union(*map(keys, data)) if isinstance(data, list) else set()

    assert keys(findings(capsys, phantoms)) <= documented


def test_the_real_data_are_listed_in_a_hundred_columns(real_data, capsys):
    text = table(capsys, real_data, "--no-pixels")
    *lines, command = text.rstrip().splitlines()
    assert max(map(len, lines)) <= 100
    assert "30 × NIfTI" in text
    assert "Lt Lung" in text and "Areola (empty)" in text
    assert "only 1 slice" in text
    rows = [line for line in lines if re.match(r"  \S", line) and "×" in line]
    assert len(rows) == 30
    columns = {match.start() for row in rows if (match := re.search(r"axial|coronal|sagittal|oblique", row))}
    assert len(columns) == 1, "the columns are aligned"
    assert "oblique" in text
    assert trained_on(command)[0] >= 6


def test_what_headers_do_not_tell_is_told_from_the_values(mr_cohort, capsys):
    text = table(capsys, mr_cohort)
    assert text.count("MR?") == 4 and "4 patients, 4 volumes can be trained on (4 × MR)" in text
    assert trained_on(text.splitlines()[-1]) == (4, 4)


def test_x_ray_pictures_are_listed_with_one_doubt_and_can_be_trained_on(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 30, 40), dtype=np.uint8)
    for number, image in enumerate(pixels):
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / f"knee{number}.png"))
    text = table(capsys, tmp_path)
    assert "5 × PNG" in text and text.count("2-D") == 5 and "5 × DX" in text
    assert text.count("spacing is unknown") == 1 and "knee0.png, knee1.png" in text
    assert trained_on(text.splitlines()[-1]) == (5, 5)
    (tmp_path / "more").mkdir()
    assert main(["inspect", str(tmp_path), "--out", str(tmp_path / "more" / "told")]) == 0


def test_several_modalities_and_a_broken_file_give_a_command_that_trains_on_one_kind(mr_cohort, phantoms, tmp_path):
    shutil.copytree(mr_cohort, tmp_path / "mr")
    shutil.copytree(phantoms / "PHANTOM-0001", tmp_path / "ct" / "PHANTOM-0001")
    broken = tmp_path / "mr" / "patient01" / "T1.nii.gz"
    broken.write_bytes((tmp_path / "mr" / "patient01" / "FLAIR.nii.gz").read_bytes()[:5000])
    told = inspect(tmp_path)
    assert told.outlook.by_modality == {"CT": 1, "MR": 4}
    assert "1 can't be read as one volume" in told.outlook.sentence
    assert any("patient01/T1.nii.gz" in doubt and "damaged" in doubt for doubt in told.doubts)
    assert trained_on(told.outlook.command) == (4, 4)


def doubts(folder: Path) -> str:
    return "\n".join(inspect(folder).doubts)


def air(seed: int = 0, shape: tuple[int, int, int] = (5, 12, 10)) -> np.ndarray:
    stored = stored_ct(shape, seed)
    stored[:, 0] = 24
    return stored


def person(name: str, birth: str):
    def edit(dataset, k):
        dataset.PatientName, dataset.PatientBirthDate = name, birth
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[dataset.PatientID])

    return edit


def test_a_clean_cohort_has_no_doubts(tmp_path):
    for n, name in enumerate(("A", "B", "C")):
        edit = person(f"{name}^X", "19500101")
        write_series(tmp_path / name, air(n), name=name, patient=name, edit=edit)
    assert inspect(tmp_path).doubts == ()


def test_one_person_under_two_identifiers_is_doubted_without_the_name(tmp_path):
    for n, name in enumerate(("A", "B")):
        write_series(tmp_path / name, air(n), name=name, patient=name, edit=person("Doe^Jane", "19500101"))
    told = doubts(tmp_path)
    assert "A and B have the same name and date of birth" in told
    assert "Doe" not in inspect(tmp_path).to_json() and "1950" not in inspect(tmp_path).to_json()


def test_one_study_under_two_identifiers_is_doubted(tmp_path):
    for n, name in enumerate(("A", "B")):
        write_series(tmp_path / name, air(n), name=name, patient=name)
    assert "A and B share the study" in doubts(tmp_path)


def test_identifiers_that_differ_in_spelling_are_doubted(tmp_path):
    for n, name in enumerate(("P-001", "p1", "P2")):
        write_series(tmp_path / str(n), air(n), name=name, patient=name)
    assert "P-001 and p1 differ only in spelling" in doubts(tmp_path)
    assert "P2" not in doubts(tmp_path).partition("differ")[0].splitlines()[-1]


def test_two_people_under_one_identifier_are_doubted(tmp_path):
    write_series(tmp_path / "a", air(0), name="a", edit=person("Doe^Jane", "19500101"))
    write_series(tmp_path / "b", air(1), name="b", edit=person("Roe^John", "19600101"))
    assert "P1 has 2 names or dates of birth" in doubts(tmp_path)


def test_a_series_without_a_patient_is_doubted_and_no_validation_suggested(tmp_path):
    write_series(tmp_path / "a", air(), patient="", edit=lambda dataset, k: setattr(dataset, "PatientName", ""))
    told = inspect(tmp_path)
    assert "do not say whose they are" in told.doubts[0]
    assert not told.patients[0].is_identified and "validation_share=0" in told.outlook.command


@pytest.mark.parametrize("pixels", [True, False])
def test_missing_slices_are_told(tmp_path, pixels):
    write_series(tmp_path / "whole", air(0), name="whole", patient="A")
    write_series(tmp_path / "holed", air(1, (9, 12, 10)), name="holed", patient="B")[4].unlink()
    told = inspect(tmp_path, pixels=pixels)
    assert any("holed" in doubt and re.search(r"1 (missing )?slice ", doubt) for doubt in told.doubts)


def test_images_that_are_there_twice_are_told(tmp_path):
    write_series(tmp_path / "a", air(0), name="a", patient="A")
    write_series(tmp_path / "b", air(0), name="b", patient="B")
    write_series(tmp_path / "c", air(1), name="c", patient="C")
    (identical,) = (doubt for doubt in inspect(tmp_path).doubts if "identical" in doubt)
    assert "of A" in identical and "of B" in identical and "of C" not in identical
    shutil.copytree(tmp_path / "c", tmp_path / "copy of c")
    (again,) = (doubt for doubt in inspect(tmp_path, pixels=False).doubts if "SOPInstanceUID" in doubt)
    assert "copy of c" in again


def test_values_that_no_ct_has_are_told(tmp_path):
    write_series(tmp_path / "unscaled", stored_ct(), name="unscaled", intercept=0)
    write_series(tmp_path / "flat", np.full((4, 8, 8), 24, np.uint16), name="flat")
    told = doubts(tmp_path)
    assert re.search(r"unscaled.*without air \(lowest value", told) and re.search(r"flat.*all voxels", told)


def test_spacings_that_one_model_hardly_serves_are_told(tmp_path):
    write_series(tmp_path / "thin", air(0), name="thin", patient="A", spacing=(0.8, 0.8, 1.0))
    write_series(tmp_path / "thick", air(1), name="thick", patient="B", spacing=(0.8, 0.8, 5.0))
    assert "The slice distances of the CT range from 1 to 5 mm" in doubts(tmp_path)
    assert "pixel sizes" not in doubts(tmp_path)


def test_what_is_left_out_is_named_with_its_reason(tmp_path):
    write_series(tmp_path / "ct", air(), name="ct")
    write_series(tmp_path / "scout", air(1)[:1], name="scout", description="Scout", patient="P1")
    write_series(tmp_path / "us", air(2)[:3], name="us", description="Liver", modality="US")
    write_structures(tmp_path / "elsewhere.dcm", [("PTV", [("CLOSED_PLANAR", np.eye(3))])], drawn_on="not here")
    whole = next((tmp_path / "ct").iterdir()).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:200])
    (tmp_path / "letter.dcm").write_text("Dear colleague,")
    (tmp_path / "notes.txt").write_text("not an image")
    told = inspect(tmp_path)
    reasons = {item.what: item.reason for item in told.left_out}
    assert reasons.pop("CT 'Scout' of P1").startswith("only 1 slice")
    assert reasons.pop("US 'Liver' of P1") == "neither CT, MR nor X-ray"
    assert set(reasons) == {"cut.dcm", "letter.dcm"} and all("damaged" in reason for reason in reasons.values())
    assert any("elsewhere.dcm was drawn on a series that is not here" in doubt for doubt in told.doubts)
    assert (told.outlook.patients, told.outlook.volumes) == (1, 1)


def test_the_page_stands_alone_and_shows_every_volume(phantoms, tmp_path, capsys):
    assert main(["inspect", str(phantoms), "--out", str(tmp_path / "out")]) == 0
    assert "keep it where patient data may be kept" in capsys.readouterr().err
    text = (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", text)
    for source in sources:
        picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert picture[..., :3].std() > 0.1
    told = json.loads((tmp_path / "out" / "inspection.json").read_text(encoding="utf-8"))
    assert told["outlook"]["volumes"] == 3 and "Lung_L" in text


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_thumbnails_have_the_patients_right_on_the_left_and_the_head_above(flip):
    array = np.full((24, 24, 24), -1000, np.int16)
    array[16:, 16:, 16:] = 700  # left, posterior, superior in LPS
    direction = np.diag([flip, flip, flip])
    geometry = Geometry.from_lps(array.shape, spacing=(1, 1, 1), origin=(0, 0, 0), direction=direction)
    volume = Volume(array if flip > 0 else array[::-1, ::-1, ::-1].copy(), geometry, Modality.CT)
    shifted = np.roll(volume.array, (-6, -6, -6) if flip > 0 else (6, 6, 6), (0, 1, 2))  # into the middle slices
    picture = matplotlib.image.imread(io.BytesIO(thumbnail(volume.replace(array=shifted))))[..., 0]
    size = min(picture.shape[0], picture.shape[1] // 3)
    panels = np.array_split(picture[:size], 3, axis=1)
    rows, columns = zip(*(_centre(panel > 0.5) for panel in panels), strict=True)
    assert rows[0] > 0.5 and columns[0] > 0.5, "axial: posterior below, left on the right"
    assert rows[1] < 0.5 and columns[1] > 0.5, "coronal: superior above, left on the right"
    assert rows[2] < 0.5 and columns[2] > 0.5, "sagittal: superior above, posterior on the right"


def _centre(mask: np.ndarray) -> tuple[float, float]:
    """Middle of the bright block, in shares of the dark panel around it."""
    inner = mask[8:-8, 8:-8]
    rows, columns = np.nonzero(inner)
    return float(rows.mean() / inner.shape[0]), float(columns.mean() / inner.shape[1])


def test_nothing_to_inspect_is_one_sentence(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 1
    assert main(["inspect", str(tmp_path / "missing")]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Inspecting: ")]
    assert len(lines) == 2 and all(line.startswith("slicervae: ") for line in lines)
    assert "it is empty" in lines[0] and "missing is not there" in lines[1]


def test_structure_sets_alone_are_listed_though_nothing_can_be_trained_on(real_data):
    told = inspect(real_data / "rt")
    assert told.outlook.sentence == "Nothing can be trained on." and told.outlook.command == ""
    assert [patient.patient for patient in told.patients] == ["123456"]


def test_cancelling_stops_between_volumes(phantoms):
    cancel = Cancel()

    def stop(progress):
        if progress.fraction > 0.5:
            cancel.request()

    with pytest.raises(Cancelled):
        inspect(phantoms, progress=stop, cancel=cancel)


def test_an_empty_label_map_is_no_reason_to_stop(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.uint8)), str(tmp_path / "zeros.nii.gz"))
    told = inspect(tmp_path)
    assert any("all voxels have the value 0" in doubt for doubt in told.doubts)
    assert told.outlook.volumes == 0


def test_a_study_on_a_pacs_is_inspected_and_nothing_of_it_kept(phantoms, tmp_path):
    with running(tmp_path / "orthanc") as server:
        server.store(sorted((phantoms / "PHANTOM-0002").rglob("*.dcm")))
        from SlicerVAELib.io.dicomweb import list_studies

        (study,) = list_studies(server.address)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        words = [sys.executable, "-m", "slicervae", "inspect", str(study.address), "--html", str(tmp_path / "p.html")]
        environment = {**os.environ, "TMPDIR": str(scratch), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, env=environment)
        assert done.returncode == 0, done.stderr
        assert "PHANTOM-0002" in done.stdout and "Lung_R" in done.stdout and str(study.address) in done.stdout
        assert "1 patient, 1 volume can be trained on" in done.stdout
        assert not list(scratch.glob("slicervae-dicomweb-*"))
        assert str(scratch) not in done.stdout + (tmp_path / "p.html").read_text(encoding="utf-8")
