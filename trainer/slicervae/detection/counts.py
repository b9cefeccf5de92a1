"""How often each score was given to sound and to anomalous voxels, patient by patient, and what follows from it.

A score is counted under its nearest half-precision number: 11 significant bits, whose patterns are in the order of
their values. One pass over the maps is enough, nothing is sampled, and any set of patients is judged by adding counts,
so that a bootstrap over patients costs no further pass.
"""

import dataclasses

import numpy as np

BINS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """``sound`` and ``anomalous`` are int64 (P, M): of each of P patients the voxels with each of ``scores`` (M,),
    ascending."""

    scores: np.ndarray
    sound: np.ndarray
    anomalous: np.ndarray

    @classmethod
    def of(cls, patients: "list[tuple[np.ndarray, np.ndarray]]") -> "Counts":
        """From the scores of each patient's voxels and which of them are anomalous, both flat."""
        sound = np.stack([_counted(scores[~truth]) for scores, truth in patients])
        anomalous = np.stack([_counted(scores[truth]) for scores, truth in patients])
        used = np.flatnonzero((sound + anomalous).any(axis=0))
        return cls(_score_of(used), sound[:, used], anomalous[:, used])

    def coarser(self, groups: int) -> "Counts":
        """With neighbouring scores counted as one, so that at most ``groups`` are left, each with about as large a
        share of the sound or of the anomalous voxels: quick enough for a bootstrap, and figures hardly change."""
        if len(self.scores) <= groups:
            return self
        shares = [part.sum(axis=0) / max(1, part.sum()) for part in (self.sound, self.anomalous)]
        reached = np.cumsum(np.maximum(*shares))
        group = np.floor(reached / reached[-1] * (groups - 1)).astype(int)
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        sound, anomalous = (np.add.reduceat(part, begins, axis=1) for part in (self.sound, self.anomalous))
        return Counts(self.scores[begins], sound, anomalous)

    def together(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Voxels above or at each score, descending, (…, M): sound ones and anomalous ones; ``weights`` (…, P) says how
        often each patient counts."""
        weights = np.ones(len(self.sound)) if weights is None else weights
        sound, anomalous = weights @ self.sound, weights @ self.anomalous
        return np.cumsum(sound[..., ::-1], axis=-1), np.cumsum(anomalous[..., ::-1], axis=-1)

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Σ (R_n − R_{n−1}) P_n over the thresholds, descending, equal scores being one threshold; NaN without an
        anomalous voxel."""
        sound, anomalous = self.together(weights)
        precision = anomalous / np.maximum(sound + anomalous, 1e-12)
        gained = np.diff(anomalous, axis=-1, prepend=0)
        return _ratio((gained * precision).sum(axis=-1), anomalous[..., -1])

    def auroc(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The share of pairs of an anomalous and a sound voxel in which the anomalous one scores higher, a tie being
        half a pair; NaN without either."""
        sound, anomalous = self.together(weights)
        before = np.diff(anomalous, axis=-1, prepend=0)
        wins = (before * (sound[..., -1:] - sound + np.diff(sound, axis=-1, prepend=0) / 2)).sum(axis=-1)
        return _ratio(wins, anomalous[..., -1] * sound[..., -1])

    def dice(self) -> np.ndarray:
        """Dice of "at or above" each of ``scores`` (M,), all patients together."""
        sound, anomalous = (part[::-1] for part in self.together())
        return _ratio(2 * anomalous, sound + anomalous + anomalous[0])

    def best_threshold(self) -> float:
        """The score from which on Dice is highest."""
        return float(self.scores[int(np.nanargmax(self.dice()))])

    def dice_from(self, threshold: float) -> float:
        """Dice of "at or above" a threshold."""
        index = int(np.searchsorted(self.scores, threshold))
        if index == len(self.scores):
            return 0.0
        return float(self.dice()[index])


def as_counted(scores: np.ndarray) -> np.ndarray:
    """Scores as they are counted: in half precision, limited to what that can hold."""
    return np.clip(scores, -65504, 65504).astype(np.float16) + np.float16(0)  # −0 becomes 0


def _counted(scores: np.ndarray) -> np.ndarray:
    patterns = as_counted(scores).view(np.uint16)
    # Negative numbers have their sign in the highest bit and grow downwards: this puts all in order.
    ordered = np.where(patterns & 0x8000, ~patterns, patterns | 0x8000)
    return np.bincount(ordered, minlength=BINS)


def _score_of(bins: np.ndarray) -> np.ndarray:
    ordered = bins.astype(np.uint16)
    patterns = np.where(ordered & 0x8000, ordered & 0x7FFF, ~ordered).astype(np.uint16)
    return patterns.view(np.float16).astype(np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)
