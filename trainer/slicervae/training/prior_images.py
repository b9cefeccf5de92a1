"""Augmentation by the approximate prior: algorithm 2 of source 002."""

import torch

from SlicerVAELib.core.networks import Network

from ..data.batch import ImageSource


def reason_against(network: Network) -> str:
    """Why images of the prior can't join that network's training, as the end of a sentence; empty when they can.

    Where nothing is random a draw of an image's encoding is its reconstruction.
    """
    if network.latent.kind == "gaussian":
        return ""
    return "augment_by_prior draws from Gaussian posteriors, which the network does not have; set it to 0"


def draw_prior_images(
    network: Network, training: ImageSource, count: int, generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """``count`` images (count, C, …) drawn from the approximate prior p̃(z) = (1/K) Σ_k q(z|x_k).

    For each a training image is picked at random, its posterior sampled, and the sample decoded, with the network as
    it is, in evaluation mode. The result is what training images are: in [0, 1], and of structures one class a pixel,
    the most probable one.
    """
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        picked = torch.randint(len(training), (count,), generator=generator)
        noise = torch.randn((count, *network.latent.shape), generator=generator)
        images = []
        for index, epsilon in zip(picked.split(1), noise.split(1), strict=True):
            encoding = network.encode(training.batch(index).images.to(device))
            images.append(network.decode(encoding.draw(epsilon.to(device))).float().cpu())
    network.train(was_training)
    first = network.channels - network.structure_channels
    pixels, structures = torch.cat(images).tensor_split([first], dim=1)
    return torch.cat([pixels.clamp(0, 1), _most_probable(structures)], dim=1)


def _most_probable(structures: torch.Tensor) -> torch.Tensor:
    """Probabilities of classes (N, K, …) as 1 for the highest and 0 for the others; nothing of none."""
    if structures.shape[1] == 0:
        return structures
    classes = structures.argmax(dim=1)
    return torch.zeros_like(structures).scatter_(1, classes[:, None], 1.0)
