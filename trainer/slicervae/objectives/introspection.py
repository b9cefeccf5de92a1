"""The game of introspective VAEs: the encoder tells real images from generated ones, the decoder makes it err.

What IntroVAE and Soft-IntroVAE share: two phases with an optimiser each, and where images, latents and statistics of
batch norm may and may not go.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import Network

from ..data.batch import Batch
from .base import Moment, Objective, Terms, squared_error
from .passes import Replaced, decode_with, encode_with, frozen, reason_against_network, unrecorded

WARM_UP = "warm-up"


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntrospectionSettings:
    """``warm_up_epochs`` is how long a plain VAE with the same weights is trained first (source 000: 100 epochs)."""

    kind: str
    warm_up_epochs: float = dataclasses.field(default=100.0, metadata={"min": 0.0, "max": 1e6})


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """A batch seen by one part, or in the warm-up by both: the ``posterior`` of its images, the mean squared ``errors``
    of each after a draw from it was decoded (N,), and in the game the images ``generated``, "reconstructed" and
    "sampled"."""

    posterior: DiagonalGaussian
    errors: torch.Tensor
    generated: Mapping[str, torch.Tensor]

    @property
    def mse(self) -> torch.Tensor:
        """The mean squared error of the batch."""
        return self.errors.mean()


class Introspection(Objective):
    """An encoder and a decoder with losses, phases and optimisers of their own.

    In the warm-up both step together after one pass, as those of a VAE do; in turns they learn more slowly and less
    steadily. In the game, in either phase the other part is held fixed. The decoder's phase begins anew: with the
    encoder as its step has just left it, it draws latents of the images, without a gradient to the encoder, decodes
    them and has the result encoded, so that no gradient runs through weights that have changed since.

    Batch norm: every batch (real, reconstructed, sampled) is normalised on its own. Running statistics are taken of the
    real images in the encoder's phase, and of their reconstructions in the decoder's; samples leave none. Otherwise,
    with generated images two thirds of what the encoder sees, validation would normalise real images by what the
    encoder has learned to reject.

    No likelihood can choose between the weights of such a game, in which sharper samples cost squared error. The
    validation loss therefore falls with every step of the game, so that the last weights are kept; the validation's
    squared error and KL tell how they do.
    """

    phases = ("encoder", "generator")
    settings: IntrospectionSettings
    played: torch.Tensor

    def __init__(self, network: Network, settings: IntrospectionSettings) -> None:
        super().__init__(network, settings)
        self.register_buffer("played", torch.zeros((), dtype=torch.int64))

    @classmethod
    def reason_against(cls, network: Network, settings: IntrospectionSettings) -> str:
        """It needs Gaussian latents, and images alone."""
        return reason_against_network(network, settings.kind)

    def parameters_of(self, phase: str) -> Sequence[nn.Parameter]:
        """The encoder's, or in the phase "generator" the decoder's."""
        part = self.network.encoder if phase == "encoder" else self.network.decoder
        return [parameter for parameter in part.parameters() if parameter.requires_grad]

    def passes(self, epoch: float) -> Mapping[str, Sequence[str]]:
        """One for both parts until the game begins, then one for each."""
        return super().passes(epoch) if self._is_game(epoch) else {WARM_UP: self.phases}

    def forward(self, batch: Batch, moment: Moment, phase: str = "all") -> Terms:
        """Terms of a batch for both ("warm-up"), the encoder or the decoder ("generator")."""
        if phase == WARM_UP:
            return self.encoder_terms(self._pass_of_both(batch, moment), moment)
        if phase == "encoder":
            return self.encoder_terms(self._pass_of_encoder(batch, moment), moment)
        return self.generator_terms(self._pass_of_generator(batch, moment), moment)

    @abc.abstractmethod
    def encoder_terms(self, seen: Pass, moment: Moment) -> Terms:
        """The encoder's loss; no gradient reaches the decoder or the generated images."""

    @abc.abstractmethod
    def generator_terms(self, seen: Pass, moment: Moment) -> Terms:
        """The decoder's loss; no gradient reaches the encoder."""

    @abc.abstractmethod
    def real_loss(self, mse: float, kl: float) -> float:
        """The loss of real images alone, which the warm-up trains, from their means."""

    def after_step(self, moment: Moment) -> None:
        """Count the steps of the game."""
        if self._is_game(moment.epoch):
            self.played.fill_(moment.step + 1)

    def measure(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Squared error at the posterior mean, and KL, of each image."""
        encoding = self.network.encode(batch.images)
        return {"mse": squared_error(batch, self.network.decode(encoding.mode)), "kl": encoding.divergence()}

    def judge(self, means: Mapping[str, float]) -> float:
        """The loss of real images during the warm-up, then minus the number of the step."""
        if int(self.played):
            return -float(self.played)
        return self.real_loss(means["mse"], means["kl"])

    def encoded(self, images: torch.Tensor, replaced: Replaced) -> DiagonalGaussian:
        """The posterior of generated images, in whose making no running statistics change."""
        return cast(DiagonalGaussian, encode_with(self.network, images, {**unrecorded(self.network), **replaced}))

    def decoded(self, latents: torch.Tensor, replaced: Replaced) -> torch.Tensor:
        """The image of latents, in whose making no running statistics change."""
        return decode_with(self.network, latents, {**unrecorded(self.network), **replaced})

    def _is_game(self, epoch: float) -> bool:
        return epoch >= self.settings.warm_up_epochs

    def _pass_of_both(self, batch: Batch, moment: Moment) -> Pass:
        posterior = cast(DiagonalGaussian, self.network.encode(batch.images))
        reconstructed = self.network.decode(posterior.draw(_normal(moment, posterior)))
        return Pass(posterior, squared_error(batch, reconstructed), {})

    def _pass_of_encoder(self, batch: Batch, moment: Moment) -> Pass:
        posterior = cast(DiagonalGaussian, self.network.encode(batch.images))
        decoder = frozen(self.network, "decoder")
        reconstructed = self.decoded(posterior.draw(_normal(moment, posterior)), decoder)
        with torch.no_grad():
            sampled = self.decoded(_prior(moment, posterior), {})
        generated = {"reconstructed": reconstructed.detach(), "sampled": sampled}
        return Pass(posterior, squared_error(batch, reconstructed), generated)

    def _pass_of_generator(self, batch: Batch, moment: Moment) -> Pass:
        with torch.no_grad():
            posterior = self.encoded(batch.images, {})
            latents = posterior.draw(_normal(moment, posterior))
        reconstructed = self.network.decode(latents)
        generated = {"reconstructed": reconstructed, "sampled": self.decoded(_prior(moment, posterior), {})}
        return Pass(posterior, squared_error(batch, reconstructed), generated)


def _normal(moment: Moment, like: DiagonalGaussian) -> torch.Tensor:
    return moment.draws.normal(tuple(like.mean.shape)).to(like.mean)


def _prior(moment: Moment, like: DiagonalGaussian) -> torch.Tensor:
    return _normal(moment, like) * like.prior_variance**0.5
