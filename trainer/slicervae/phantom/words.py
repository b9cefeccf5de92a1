"""What the columns of a cohort's parameters.csv are, in a few words for a slider."""

from collections.abc import Mapping
from typing import TypeVar

V = TypeVar("V")

WORDS = {
    "age_years": "age",
    "sex M": "male sex",
    "stature_mm": "body height",
    "body_mass_index": "body mass index",
    "weight_kg": "body weight",
    "chest_depth_mm": "depth of the chest",
    "inner_half_width_mm": "width of the chest",
    "inflation": "breathing in",
    "wanted_lung_volume_cm3": "lung capacity",
    "fat_thickness_mm": "subcutaneous fat",
    "breast_thickness_mm": "breast tissue",
    "muscularity": "muscles",
    "heart_volume_cm3": "size of the heart",
    "heart_cm3": "heart in the scan",
    "lung_hu": "density of the lungs",
    "lungs_mean_hu": "density of the lungs",
    "lung_height_mm": "height of the lungs",
    "lung_left_cm3": "size of the left lung",
    "lung_right_cm3": "size of the right lung",
    "lungs_cm3": "size of the lungs",
    "left_dome_z_mm": "left diaphragm towards S",
    "right_dome_z_mm": "right diaphragm towards S",
    "carina_z_mm": "carina towards S",
    "table_top_y_mm": "couch towards P",
    "shift_x_mm": "shift to the side",
    "roll_degrees": "roll of the patient",
    "body_in_scan_cm3": "size of the body",
}


def in_words(facts: Mapping[str, V]) -> dict[str, V]:
    """Facts by words instead of columns; others keep their name, and of two with the same words the first stays."""
    named: dict[str, V] = {}
    for name, values in facts.items():
        named.setdefault(WORDS.get(name, name), values)
    return named
