"""Who trains and who validates: whole patients, never slices."""

import random
from collections.abc import Iterable

SMALLEST_COHORT = 3  # below this every patient is needed for training


def split_patients(patients: Iterable[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Patients for training and for validation, each sorted; the same for the same names, share and seed.

    At least one patient validates when there are three or more and ``share`` is not zero; with fewer, none does. At
    least one always trains.
    """
    names = sorted(set(patients))
    shuffled = random.Random(seed).sample(names, len(names))
    held_out = (
        0 if len(names) < SMALLEST_COHORT or share == 0 else min(max(1, round(share * len(names))), len(names) - 1)
    )
    return sorted(shuffled[held_out:]), sorted(shuffled[:held_out])
