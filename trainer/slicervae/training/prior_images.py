"""Augmentation by the approximate prior: algorithm 2 of source 002."""

import torch

from SlicerVAELib.core.networks import Network

from ..data.batch import ImageSource


def draw_prior_images(
    network: Network, training: ImageSource, count: int, generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """``count`` images (count, C, …) drawn from the approximate prior p̃(z) = (1/K) Σ_k q(z|x_k).

    For each a training image is picked at random, its posterior sampled, and the sample decoded, with the network as
    it is, in evaluation mode.
    """
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        picked = torch.randint(len(training), (count,), generator=generator)
        noise = torch.randn((count, *network.latent.shape), generator=generator)
        images = []
        for index, epsilon in zip(picked.split(1), noise.split(1), strict=True):
            encoding = network.encode(training.batch(index).images.to(device))
            images.append(network.decode(encoding.draw(epsilon.to(device))).float().cpu().clamp(0, 1))
    network.train(was_training)
    return torch.cat(images)
