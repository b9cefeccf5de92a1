"""The phantoms are frozen: what they look like changes only together with PHANTOM_VERSION."""

import numpy as np
import pytest

from slicervae.phantom import PHANTOM_VERSION, LesionPolicy, make_patient

# By version: seed 2024, 48 pixels, 16 slices, every patient with a lesion. A failure here means that the phantoms
# changed. Then raise PHANTOM_VERSION, add a row, and compute every result on phantoms anew; never edit a row.
FROZEN = {
    "1.0": {
        1: (3364.614, 552.836, 22480.079, 18.451, 0.866, -138.645, 277.931, 48.365),
        2: (4401.893, 807.914, 21249.010, 94.710, 223.149, -173.957, 316.598, 50.907),
        3: (3000.019, 648.572, 20951.833, 42.907, 6.097, -123.485, 263.924, 47.706),
    },
}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_this_version_looks_as_it_always_did(number):
    case = make_patient(2024, number, size=48, slices=16, lesions=LesionPolicy(share=1.0))
    q = case.parameters
    array = case.volume.array.astype(float)
    now = (
        float(q["lungs_cm3"]),
        float(q["heart_cm3"]),
        float(q["body_in_scan_cm3"]),
        float(q["ptv_cm3"]),
        float(q["lesion_cm3"]),
        float(array[case.volume.masks["BODY"]].mean()),
        float(array[case.volume.masks["BODY"]].std()),
        float(np.abs(np.diff(array, axis=2)).mean()),
    )
    assert now == pytest.approx(FROZEN[PHANTOM_VERSION][number], rel=2e-4, abs=0.02)
