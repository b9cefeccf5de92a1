"""Anomaly maps of healthy patients, as a calibration needs them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from SlicerVAELib.core.anomaly import Evidence, Model
from SlicerVAELib.core.anomaly.choice import need_method
from SlicerVAELib.core.anomaly.maps import FUSED, at_scales, named_maps, tissue_images
from SlicerVAELib.core.anomaly.scores import patient_score
from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.declaration import check
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.healthy import body_on, places_in_body
from SlicerVAELib.core.healthy_scales import HealthyScales, Scale
from SlicerVAELib.core.manifest import Manifest
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore
from SlicerVAELib.core.reconstruction import reconstruct
from SlicerVAELib.core.stack import body_in, prepare, slices_of
from SlicerVAELib.core.synthesis_parts import code_prior_of
from SlicerVAELib.core.volume import Volume

from .healthy_fit import Sample

SAMPLED_PIXELS = 200_000  # of a volume, so that some hundred patients fit into memory


@dataclasses.dataclass(frozen=True, eq=False)
class PatientMaps:
    """One method's maps of a volume by their names, at every scale, the place (N, H, W) of every pixel, which pixels
    count, None where all do, and the volume of one."""

    maps: Mapping[str, tuple[Scale, ...]]
    places: torch.Tensor
    counted: torch.Tensor | None
    voxel_volume_cm3: float

    def sample(self, seed: int, most: int = SAMPLED_PIXELS) -> dict[str, tuple[Sample, ...]]:
        """At most so many of the pixels that count, the same for the same seed, at every scale, by the map's name."""
        count = self.places.numel()
        every = torch.arange(count) if self.counted is None else self.counted.flatten().nonzero()[:, 0]
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))[:most]
        chosen = every[order].sort().values
        places = self.places.flatten()[chosen].numpy()
        return {
            name: tuple(
                Sample(each.values.flatten()[chosen].numpy(), each.tissue.flatten()[chosen].numpy(), places)
                for each in scales
            )
            for name, scales in self.maps.items()
        }

    def z_scores(self, healthy: HealthyScales) -> torch.Tensor:
        """The fused map as z-scores, (N, H, W), 0 where pixels do not count; ``healthy`` is the distribution of it."""
        z_scores = healthy.z_scores(self.maps[FUSED], self.places)
        return z_scores if self.counted is None else z_scores * self.counted

    def score(self, healthy: HealthyScales) -> float:
        """The patient's score by the fused map."""
        return patient_score(self.z_scores(healthy), self.voxel_volume_cm3)


class HealthyMaps:
    """Makes the maps of some methods of a bundle's model, all of them smoothed by ``smoothing_mm`` in the slice plane
    and, where ``coarse_mm`` is not 0, by that in three dimensions.

    Raises UserError for a method that there is not, or that such a model does not have.
    """

    def __init__(
        self,
        bundle: Path,
        manifest: Manifest,
        methods: Sequence[str],
        smoothing_mm: float,
        coarse_mm: float,
        hardware: Hardware,
    ) -> None:
        network = load_network(bundle, manifest)
        self._manifest, self._smoothing_mm, self._coarse_mm = manifest, smoothing_mm, coarse_mm
        self._code_prior = code_prior_of(network, bundle, manifest)
        self._methods = {name: need_method(name, network.latent, self._code_prior, manifest.title) for name in methods}
        self._placement = Placement.of(network, hardware)

    def of(self, volume: Volume, left_out: np.ndarray | None, cancel: Cancel) -> dict[str, PatientMaps]:
        """The maps of a volume by the method's name; a pixel that ``left_out`` (K, J, I) touches does not count.

        Raises UserError for a volume that the model was not made for, and Cancelled.
        """
        manifest = self._manifest
        check(volume, manifest.declaration, manifest.title)
        stack = prepare(volume, manifest.preprocessing)
        images, pictures, variance = stack.images, manifest.preprocessing.image_channels, manifest.noise_variance
        decoded, _ = reconstruct(self._placement, images, None, Meter(ignore, "", len(images)), cancel)
        evidence = Evidence(stack.pixels[:, :pictures], slices_of(decoded)[:, :pictures], variance)
        model = Model(self._placement, images, pictures, variance, ignore, cancel, self._code_prior)
        places = places_in_body(body_on(stack, body_in(stack, volume)))
        counted = None if left_out is None else stack.share_of(left_out) <= 0
        result = {}
        for name, method in self._methods.items():
            maps = {
                key: at_scales(
                    map_, tissue_images(key, index, evidence), stack.geometry, self._smoothing_mm, self._coarse_mm
                )
                for index, (key, map_) in enumerate(named_maps(method, evidence, model, manifest.preprocessing).items())
            }
            result[name] = PatientMaps(maps, places, counted, stack.geometry.voxel_volume_cm3)
        return result
