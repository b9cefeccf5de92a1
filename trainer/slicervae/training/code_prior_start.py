"""Where a stage of a prior over codes begins to learn from. With few patients, that is half of what it will know."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from SlicerVAELib.core.code_prior import Stage
from SlicerVAELib.core.networks.codebook import Codebook, CodeNetwork


@torch.no_grad()
def begin(stage: Stage, network: CodeNetwork, before: Sequence[Stage]) -> None:
    """Give a stage its first weights.

    Embeddings begin as random projections of the codebook's vectors: most codes are rare, and what is learned of one
    should hold for those that decode alike. A finer stage of the same level then takes over what the stage before it
    learned, at a quarter of the price.
    """
    _embed(stage.network.embedding, network.codebooks[stage.level])
    if stage.coarser is not None:
        # The last one only where a stage of the same level came before.
        for embedding, codebook in zip(stage.coarser.embeddings, network.codebooks, strict=False):
            assert isinstance(embedding, nn.Embedding)
            _embed(embedding, codebook)
    if before and not stage.is_first:
        _take_over(stage, before[-1])


def _embed(embedding: nn.Embedding, codebook: Codebook) -> None:
    vectors = codebook.vectors.to(embedding.weight)
    standardised = (vectors - vectors.mean(dim=0)) / vectors.std().clamp_min(1e-12)
    projection = torch.randn(vectors.shape[1], embedding.embedding_dim).to(vectors)
    embedding.weight.copy_(standardised @ projection / vectors.shape[1] ** 0.5)


def _take_over(stage: Stage, coarser: Stage) -> None:
    state = coarser.state_dict()
    state["network.places"] = functional.interpolate(state["network.places"], stage.grid, mode="bilinear")
    own = stage.state_dict()
    stage.load_state_dict({name: state[name] if _fits(state.get(name), own[name]) else own[name] for name in own})


def _fits(candidate: torch.Tensor | None, wanted: torch.Tensor) -> bool:
    return candidate is not None and candidate.shape == wanted.shape
