"""Fitting how an anomaly map's values are distributed in healthy patients, place by place and tissue by tissue."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.healthy import OUTSIDE, PLACES, HealthyDistribution, cells_of, groups_of
from SlicerVAELib.core.healthy_scales import HealthyScales, Scale, farthest_from_zero

from .healthy_tails import fit_tails

TISSUES = 12
TWO_SIGMA = 0.9544997  # of a normal distribution lies within ±2σ
PIXELS_TO_TRUST, PATIENTS_TO_TRUST = 500, 5  # of which a cell's own estimate gets half of the weight
SMALLEST_SCALE = 0.1  # of that of all tissues: where nothing ever varies, as in air, noise must not become an anomaly


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Some pixels of a patient: the map's ``values`` (M,), the reconstruction's ``intensities`` (M,) in [0, 1], and
    ``places`` (M,)."""

    values: np.ndarray
    intensities: np.ndarray
    places: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class _Estimate:
    """Location and scale (cells,) of groups of pixels, and how much they are trusted, from 0 to 1."""

    location: np.ndarray
    scale: np.ndarray
    trust: np.ndarray

    def drawn_to(self, wider: "_Estimate", which: np.ndarray) -> "_Estimate":
        """Drawn to that of a ``wider`` group, whose index is ``which`` (cells,), as far as it is not trusted."""
        location = self.trust * self.location + (1 - self.trust) * wider.location[which]
        variance = self.trust * self.scale**2 + (1 - self.trust) * wider.scale[which] ** 2
        return _Estimate(location, np.sqrt(variance), np.ones_like(self.trust))


def fit(samples: Sequence[Sample]) -> HealthyDistribution:
    """The distribution that samples of healthy patients, one each, have at one scale.

    Location is the median and scale a quarter of the width of the central 95.45 %, which is σ of a normal
    distribution: it takes no notice of a few odd pixels, but unlike the median deviation of the tails that residuals
    have at edges. A place that few patients or pixels show in a tissue is drawn towards the whole tissue, and a rare
    tissue towards all of them. What is then standardised has the tails of its whole tissue. Raises UserError where
    there is nothing to fit to.
    """
    values = np.concatenate([sample.values for sample in samples])
    intensities = np.concatenate([sample.intensities for sample in samples])
    places = np.concatenate([sample.places for sample in samples])
    patients = np.repeat(np.arange(len(samples)), [len(sample.values) for sample in samples])
    in_body = places != OUTSIDE
    if not in_body.any():
        raise UserError(
            "The healthy volumes show the model nothing of a body; check that they are what it was made for."
        )
    edges = _edges(intensities[in_body])
    tissues = len(edges) + 1
    cells = cells_of(torch.from_numpy(places), torch.from_numpy(intensities), edges).numpy()

    everything = _estimate(values[in_body], np.zeros(int(in_body.sum()), dtype=np.int64), patients[in_body], 1)
    by_tissue = _estimate(values[in_body], cells[in_body] % tissues, patients[in_body], tissues)
    by_tissue = by_tissue.drawn_to(everything, np.zeros(tissues, dtype=np.int64))
    count = PLACES * tissues
    found = _estimate(values, cells, patients, count).drawn_to(by_tissue, np.arange(count) % tissues)
    scale = np.maximum(found.scale, max(SMALLEST_SCALE * float(everything.scale[0]), 1e-6))
    shape = (PLACES, tissues)
    standardised = (values - found.location[cells]) / scale[cells]
    return HealthyDistribution(
        edges,
        found.location.astype(np.float32).reshape(shape),
        scale.astype(np.float32).reshape(shape),
        fit_tails(standardised, groups_of(torch.from_numpy(cells), tissues).numpy(), tissues + 1),
    )


def fit_scales(samples: Sequence[tuple[Sample, ...]]) -> HealthyScales:
    """The distribution at every scale from samples of the same pixels at each, the finest first, of each patient."""
    distributions = tuple(fit(of_scale) for of_scale in zip(*samples, strict=True))
    if len(distributions) == 1:
        return HealthyScales(distributions)
    farthest, groups = [], []
    for patient in samples:
        places = torch.from_numpy(patient[0].places)
        scales = [Scale(torch.from_numpy(each.values), torch.from_numpy(each.intensities)) for each in patient]
        farthest.append(farthest_from_zero(distributions, scales, places).numpy())
        groups.append(distributions[0].groups(scales[0].tissue, places).numpy())
    tails = fit_tails(np.concatenate(farthest), np.concatenate(groups), len(distributions[0].edges) + 2)
    return HealthyScales(distributions, tails)


def fit_every_map(samples: Sequence[Mapping[str, tuple[Sample, ...]]]) -> dict[str, HealthyScales]:
    """The distribution of each of a method's maps, by its name, from the samples of each patient by that name."""
    return {name: fit_scales([sample[name] for sample in samples]) for name in samples[0]}


def _edges(intensities: np.ndarray) -> np.ndarray:
    """Intensities between which equally many pixels of bodies lie, as far as they are not all the same."""
    edges = np.quantile(intensities, np.arange(1, TISSUES) / TISSUES).astype(np.float32)
    return edges[np.diff(edges, prepend=np.float32(-1)) > 1e-3]


def _estimate(values: np.ndarray, groups: np.ndarray, patients: np.ndarray, count: int) -> _Estimate:
    """Estimates of ``count`` groups from the values (M,), the group and the patient of each."""
    order = np.lexsort((values, groups))
    ordered = np.append(values[order], 0.0)  # the last stands for groups without a pixel
    sizes = np.bincount(groups, minlength=count)
    starts = np.cumsum(sizes) - sizes
    tail = (1 - TWO_SIGMA) / 2
    low, middle, high = (
        ordered[np.where(sizes > 0, starts + np.rint(share * (sizes - 1)).astype(np.int64), len(values))]
        for share in (tail, 0.5, 1 - tail)
    )
    pairs = np.unique(groups * (int(patients.max()) + 1) + patients)
    seen_in = np.bincount(pairs // (int(patients.max()) + 1), minlength=count)
    trust = np.minimum(sizes / (sizes + PIXELS_TO_TRUST), seen_in / (seen_in + PATIENTS_TO_TRUST))
    return _Estimate(middle.astype(np.float64), (high - low).astype(np.float64) / 4, trust)
