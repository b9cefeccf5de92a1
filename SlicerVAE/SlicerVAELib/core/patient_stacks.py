"""Patients as stacks of slice posteriors, each slice with its place along the body."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from .errors import UserError
from .similarity import Posteriors, blocks

PATIENTS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of one patient: N posteriors, and where each lies.

    ``positions_mm`` is float32 (N,), in mm towards the head from ``origin``, which names what the zero is; see
    ``core.body_position``. Positions of different origins can't be compared.
    """

    posteriors: Posteriors
    positions_mm: np.ndarray
    origin: str

    def __post_init__(self) -> None:
        if len(self.posteriors) == 0:
            raise UserError("There is no slice to compare; encode an image that shows a body.")
        if self.positions_mm.shape != (len(self.posteriors),) or self.positions_mm.dtype != np.float32:
            raise ValueError(f"{len(self.posteriors)} slices need as many float32 positions")


@dataclasses.dataclass(frozen=True, eq=False)
class PatientStacks:
    """The slices of P patients, patient after patient.

    ``posteriors`` (N slices) and ``positions_mm`` (N,) float32 may be mapped files; the slices of patient p are those
    from ``starts[p]`` up to ``starts[p + 1]``, int64 (P + 1,), at least one; ``origins`` (P,) are as in SliceStack.
    """

    posteriors: Posteriors
    positions_mm: np.ndarray
    starts: np.ndarray
    origins: np.ndarray

    def __post_init__(self) -> None:
        if self.starts[0] != 0 or self.starts[-1] != len(self.posteriors) or np.any(np.diff(self.starts) < 1):
            raise ValueError(f"the starts of patients do not divide {len(self.posteriors)} slices")
        if self.positions_mm.shape != (len(self.posteriors),) or len(self.origins) != len(self):
            raise ValueError("each slice needs a position and each patient an origin")

    @classmethod
    def of(cls, stacks: Sequence[SliceStack]) -> "PatientStacks":
        """The patients of some stacks of equal J, at least one."""
        counts = [len(stack.posteriors) for stack in stacks]
        return cls(
            posteriors=Posteriors(
                np.concatenate([stack.posteriors.mean for stack in stacks]),
                np.concatenate([stack.posteriors.log_variance for stack in stacks]),
            ),
            positions_mm=np.concatenate([stack.positions_mm for stack in stacks]),
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            origins=np.array([stack.origin for stack in stacks]),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, patient: int) -> SliceStack:
        rows = slice(int(self.starts[patient]), int(self.starts[patient + 1]))
        return SliceStack(self.posteriors[rows], self.positions_mm[rows], str(self.origins[patient]))

    def rows_of(self, patients: np.ndarray) -> slice | np.ndarray:
        """Where the slices of these patients lie: as a slice, which copies nothing, where they follow each other."""
        first, last = int(patients[0]), int(patients[-1])
        if np.array_equal(patients, np.arange(first, last + 1)):
            return slice(int(self.starts[first]), int(self.starts[last + 1]))
        return np.concatenate([np.arange(self.starts[patient], self.starts[patient + 1]) for patient in patients])


def moment_matched(stacks: PatientStacks) -> Posteriors:
    """One Gaussian for each patient, (P, J): that with the mean and the variance of the mixture of its slices.

    μ = mean μ_n and σ² = mean(σ_n² + μ_n²) − μ². It says nothing of what lies where in the body.
    """
    counts = np.diff(stacks.starts)[:, None]
    mean = np.empty((len(stacks), stacks.posteriors.size), np.float32)
    log_variance = np.empty_like(mean)
    for patients in blocks(len(stacks), PATIENTS_AT_ONCE):
        rows = slice(int(stacks.starts[patients.start]), int(stacks.starts[patients.stop]))
        starts = stacks.starts[patients] - rows.start
        of_slices = stacks.posteriors.mean[rows].astype(np.float64)
        second = np.exp(stacks.posteriors.log_variance[rows].astype(np.float64)) + np.square(of_slices)
        first = np.add.reduceat(of_slices, starts, axis=0) / counts[patients]
        mean[patients] = first
        spread = np.add.reduceat(second, starts, axis=0) / counts[patients] - np.square(first)
        log_variance[patients] = np.log(np.maximum(spread, np.finfo(np.float32).eps * np.square(first) + 1e-9))
    return Posteriors(mean, log_variance)
