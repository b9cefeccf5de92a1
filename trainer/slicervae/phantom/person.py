"""Who the patient is: every size and attenuation that differs between patients, drawn from the published spreads."""

import dataclasses
import enum

import numpy as np

from . import constants as c
from .constants import BySex, Spread


class Stream(enum.IntEnum):
    """Independent random streams of one patient: what one part draws can't change another part."""

    PERSON = 1
    TORSO = 2
    WALL = 3
    MEDIASTINUM = 4
    ABDOMEN = 5
    LUNGS = 6
    LESION = 7
    TARGET = 8
    POSITION = 9
    TEXTURE = 10
    NOISE = 11
    PLAN = 12


def random_stream(seed: int, number: int, stream: Stream) -> np.random.Generator:
    """Random numbers of patient ``number`` for one purpose, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence([seed, number, int(stream)]))


@dataclasses.dataclass(frozen=True)
class Person:
    """One patient's anatomy in numbers; millimetres, cm³, HU, degrees, years, kg."""

    sex: str  # "M" or "F"
    age_years: float
    stature_mm: float
    body_mass_index: float
    weight_kg: float
    chest_depth_mm: float
    inner_half_width_mm: float
    inflation: float
    wanted_lung_volume_cm3: float
    right_dome_height_mm: float
    left_dome_lower_by_mm: float
    fat_thickness_mm: float
    breast_thickness_mm: float
    muscularity: float
    heart_volume_cm3: float
    heart_axis_degrees: float
    ascending_aorta_mm: float
    descending_aorta_mm: float
    trachea_transverse_mm: float
    trachea_sagittal_mm: float
    spine_scale: float
    cord_radius_mm: float
    kyphosis_depth_mm: float
    rib_height_mm: float
    rib_thickness_mm: float
    lung_hu: float
    lung_gravity_hu: float
    fat_hu: float
    muscle_hu: float
    blood_hu: float
    liver_hu: float
    spongy_bone_hu: float
    cortical_bone_hu: float
    cartilage_hu: float
    stomach_content_hu: float
    noise_hu: float
    calibration_hu: float

    @property
    def is_male(self) -> bool:
        """Whether the patient is a man."""
        return self.sex == "M"


class _Draw:
    """Draws from spreads, cut off at ``constants.CUT`` deviations."""

    def __init__(self, random: np.random.Generator, *, is_male: bool) -> None:
        self._random, self._is_male = random, is_male

    def score(self, cut: float = c.CUT) -> float:
        """A standard normal number, cut off by drawing again."""
        while True:
            value = float(self._random.standard_normal())
            if abs(value) <= cut:
                return value

    def correlated(self, score: float, correlation: float) -> float:
        """A standard normal number that correlates with ``score``."""
        mixed = correlation * score + float(np.sqrt(1 - correlation**2)) * self.score()
        return float(np.clip(mixed, -c.CUT, c.CUT))

    def __call__(self, spread: Spread | BySex, score: float | None = None) -> float:
        """A value of the spread, at ``score`` deviations when given."""
        chosen = spread if isinstance(spread, Spread) else (spread.male if self._is_male else spread.female)
        return chosen.mean + chosen.deviation * (self.score() if score is None else score)


def draw_person(seed: int, number: int) -> Person:
    """Patient ``number`` of the cohort with this seed."""
    random = random_stream(seed, number, Stream.PERSON)
    is_male = bool(random.random() < c.SHARE_OF_MEN)
    draw = _Draw(random, is_male=is_male)
    age = draw(c.AGE_YEARS)
    tallness = draw.score()
    stature = draw(c.STATURE, tallness)
    bmi = draw(c.BODY_MASS_INDEX)
    weight = bmi * (stature / 1000) ** 2

    offset, by_stature, by_bmi, residual = c.CHEST_DEPTH_MALE if is_male else c.CHEST_DEPTH_FEMALE
    chest_depth = offset + by_stature * stature + by_bmi * bmi + residual * draw.score(1.5)
    wideness = draw.correlated(tallness, c.INNER_WIDTH_STATURE_CORRELATION)
    inner_width = draw(c.INNER_WIDTH, wideness)
    offset, for_men, by_cm, by_kg = c.LUNG_VOLUME
    lung_volume = offset + for_men * is_male + by_cm * stature / 10 + by_kg * weight
    largeness = draw.correlated(wideness, c.LUNG_VOLUME_WIDTH_CORRELATION)
    lung_volume += c.LUNG_VOLUME_RESIDUAL * float(np.clip(largeness, -c.LUNG_VOLUME_CUT, c.LUNG_VOLUME_CUT))
    inflation = draw(c.INFLATION)

    heart_score = draw.correlated((bmi - 26.5) / 4.0 / 2 + tallness / 2, c.HEART_WEIGHT_CORRELATION)
    aorta_score = draw.score()
    aorta_growth = c.AORTA_PER_YEAR * (age - c.AORTA_AGE)
    trachea_score = draw.score()
    spongy = c.SPONGY_BONE_HU_AT_30 + c.SPONGY_BONE_HU_PER_YEAR * (age - 30) + c.SPONGY_BONE_DEVIATION * draw.score()
    return Person(
        sex="M" if is_male else "F",
        age_years=age,
        stature_mm=stature,
        body_mass_index=bmi,
        weight_kg=weight,
        chest_depth_mm=chest_depth,
        inner_half_width_mm=inner_width / c.RADIOGRAPHIC_MAGNIFICATION / 2,
        inflation=inflation,
        wanted_lung_volume_cm3=lung_volume * inflation,
        right_dome_height_mm=draw(c.RIGHT_DOME_HEIGHT),
        left_dome_lower_by_mm=draw(c.LEFT_DOME_LOWER_BY),
        fat_thickness_mm=max(3.0, draw(c.FAT_THICKNESS) + c.FAT_PER_BMI * (bmi - c.FAT_REFERENCE_BMI)),
        breast_thickness_mm=0.0 if is_male else draw(c.BREAST_THICKNESS),
        muscularity=(1.0 if is_male else 0.72) * (1.0 + 0.1 * draw.score()),
        heart_volume_cm3=draw(c.HEART_VOLUME, heart_score),
        heart_axis_degrees=draw(c.HEART_AXIS_DEGREES),
        ascending_aorta_mm=draw(c.ASCENDING_AORTA, aorta_score) + aorta_growth,
        descending_aorta_mm=draw(c.DESCENDING_AORTA, draw.correlated(aorta_score, 0.7)) + aorta_growth,
        trachea_transverse_mm=draw(c.TRACHEA_TRANSVERSE, trachea_score),
        trachea_sagittal_mm=draw(c.TRACHEA_SAGITTAL, draw.correlated(trachea_score, 0.6)),
        spine_scale=stature / c.SPINE_REFERENCE_STATURE * draw(c.SPINE_SCALE),
        cord_radius_mm=draw(c.CORD_RADIUS),
        kyphosis_depth_mm=draw(c.KYPHOSIS_DEPTH),
        rib_height_mm=draw(c.RIB_HEIGHT),
        rib_thickness_mm=draw(c.RIB_THICKNESS),
        lung_hu=c.AIR_HU + (draw(c.LUNG_HU) - c.AIR_HU) / inflation,  # the same tissue in less air
        lung_gravity_hu=draw(c.LUNG_GRAVITY_HU),
        fat_hu=draw(c.FAT_HU),
        muscle_hu=draw(c.MUSCLE_HU),
        blood_hu=draw(c.BLOOD_HU),
        liver_hu=draw(c.LIVER_HU),
        spongy_bone_hu=max(60.0, spongy),
        cortical_bone_hu=draw(c.CORTICAL_BONE_HU),
        cartilage_hu=draw(c.CARTILAGE_HU),
        stomach_content_hu=draw(c.STOMACH_CONTENT_HU),
        noise_hu=draw(c.NOISE_HU),
        calibration_hu=draw(c.CALIBRATION_HU),
    )
