"""How long the benchmark of recipes trains; apart from what needs torch, so that ``--help`` stays quick."""

from typing import Literal

Budget = Literal["small", "full"]

SMALL_STEPS = 300  # at the smallest size that a network can have
CUBE_STEPS = 60  # a cube has as many voxels as 64 slices
FULL_STEPS, FULL_SIDE, FULL_SEEDS = 600, 128, 3  # a thousand steps at 128² can take an hour on one core
