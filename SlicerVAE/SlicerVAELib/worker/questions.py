"""Which message carries which request of ``core.engine``, who answers it, and with what."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ..core.engine import (
    DecodeRequest,
    EncodedVolume,
    EncodeRequest,
    Engine,
    LatentsRequest,
    Reconstruction,
    ReconstructRequest,
    SliceLatents,
    Synthesis,
    SynthesizeRequest,
)
from . import protocol

Request = ReconstructRequest | SynthesizeRequest | EncodeRequest | DecodeRequest | LatentsRequest
Result = Reconstruction | Synthesis | EncodedVolume | SliceLatents


@dataclasses.dataclass(frozen=True)
class Question:
    """One line of the table; ``answered_by`` finds the engine's method."""

    message: type[protocol.Work]
    request: type[Request]
    result: type[Result]
    answered_by: Callable[[Engine], Callable[..., Any]]


_QUESTIONS = (
    Question(protocol.Reconstruct, ReconstructRequest, Reconstruction, lambda engine: engine.reconstruct),
    Question(protocol.Synthesize, SynthesizeRequest, Synthesis, lambda engine: engine.synthesize),
    Question(protocol.Encode, EncodeRequest, EncodedVolume, lambda engine: engine.encode),
    Question(protocol.Decode, DecodeRequest, Synthesis, lambda engine: engine.decode),
    Question(protocol.Latents, LatentsRequest, SliceLatents, lambda engine: engine.latents),
)


def question_of(asked: Request | protocol.Work) -> Question:
    """The line for a request, or for the message that carries it."""
    return next(each for each in _QUESTIONS if isinstance(asked, each.request | each.message))
