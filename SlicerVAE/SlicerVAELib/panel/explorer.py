"""The latent explorer: sliders move a point in the model's latent space, and its picture follows.

No Qt. The point begins in a middle of the best prior there is; from there it goes wherever a slider, a random draw, a
traversal or the way between two patients takes it.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core.engine import DecodeRequest, Hardware, LatentPath, Synthesis, SynthesizeRequest
from ..core.errors import UserError
from ..scene.nodes import VolumeNode
from ..scene.synthetic_picture import SyntheticPicture
from .latent_sliders import LatentSliders
from .latest_question import LatestQuestion
from .runs import Runs
from .translation import tr as _

REACH = 3.0  # of a slider, to either side of 0
TRAVERSE_STEPS = 40  # from one end of a slider to the other and back
PATH_STEPS = 24
NO_GAUSSIAN = _("This model has no Gaussian latents, which sliders could move; choose a variational model.")


@dataclasses.dataclass(frozen=True)
class SliderState:
    """One slider: what it does, what more is known of it, and where it stands."""

    name: str
    tip: str
    value: float


@dataclasses.dataclass(frozen=True)
class ExplorerState:
    """What the explorer shows; without sliders there is nothing to explore, and ``note`` says why or what they are.

    ``traversed`` is the slider that moves by itself; ``has_path`` says that the way between two patients is known, on
    which ``share`` is how far the point has gone.
    """

    sliders: tuple[SliderState, ...] = ()
    note: str = ""
    traversed: int | None = None
    has_path: bool = False
    share: float = 0.0


@dataclasses.dataclass(eq=False)
class _Tour:
    """What is explored: the point (*shape), the ends (2, *shape) of the way between two patients."""

    model: Path
    hardware: Hardware
    sliders_of: Callable[[int], LatentSliders]
    sliders: LatentSliders | None = None
    point: np.ndarray | None = None
    ends: np.ndarray | None = None
    share: float = 0.0
    traversed: int | None = None
    phase: int = 0


class Explorer:
    """Decodes the point through ``runs``; ``changed`` is called when the state changed, ``shown`` with a new node."""

    def __init__(self, runs: Runs, changed: Callable[[], None], shown: Callable[[VolumeNode], None]) -> None:
        self._changed, self._shown = changed, shown
        self._question = LatestQuestion(runs, self._failed)
        self._picture = SyntheticPicture()
        self._tour: _Tour | None = None
        self._complaint = ""

    @property
    def state(self) -> ExplorerState:
        """What the explorer shows now."""
        tour = self._tour
        if tour is None or tour.point is None or tour.sliders is None:
            return ExplorerState(note=self._complaint)
        values = tour.point.reshape(-1)[list(tour.sliders.indices)]
        shown = zip(tour.sliders.names, tour.sliders.tips, values.tolist(), strict=True)
        return ExplorerState(
            sliders=tuple(SliderState(*slider) for slider in shown),
            note=self._complaint or tour.sliders.note,
            traversed=tour.traversed,
            has_path=tour.ends is not None,
            share=tour.share,
        )

    @property
    def model(self) -> Path | None:
        """The bundle that is explored."""
        return self._tour.model if self._tour is not None else None

    def begin(self, bundle: Path, sliders_of: Callable[[int], LatentSliders], hardware: Hardware) -> None:
        """Explore a bundle from a middle of its best prior; ``sliders_of`` tells its sliders for J latents."""
        self.end()
        self._tour = _Tour(bundle, hardware, sliders_of)
        self.reset()

    def end(self) -> None:
        """Explore nothing any more; the picture stays as it is."""
        self._question.forget()
        self._tour, self._complaint = None, ""

    def reset(self) -> None:
        """Go to a middle of the best prior there is."""
        self._draw(seed=0, prior="auto", temperature=0.0)

    def random(self, seed: int, prior: str, temperature: float) -> None:
        """Go to a draw, the same one for the same seed."""
        self._draw(seed, prior, temperature)

    def move(self, slider: int, value: float) -> None:
        """Move one latent."""
        tour = self._tour
        if tour is None or tour.point is None or tour.sliders is None or slider >= len(tour.sliders.indices):
            return
        point = tour.point.copy()
        point.reshape(-1)[tour.sliders.indices[slider]] = value
        self._go_to(tour, point)

    def traverse(self, slider: int | None) -> None:
        """Let a slider move by itself, at each ``tick``; None stops it."""
        if self._tour is not None:
            self._tour.traversed, self._tour.phase = slider, 0
            self._changed()

    def tick(self) -> None:
        """Go one step on the traversal."""
        tour = self._tour
        if tour is not None and tour.traversed is not None:
            tour.phase += 1
            self.move(tour.traversed, REACH * float(np.sin(2 * np.pi * tour.phase / TRAVERSE_STEPS)))

    def set_path(self, first: np.ndarray, last: np.ndarray) -> None:
        """Know the way between the latents (*shape) of two patients' slices, and go to its beginning."""
        if self._tour is not None:
            self._tour.ends = np.stack([first, last])
            self.go_along(0.0)

    def go_along(self, share: float) -> None:
        """Go to (1 − share)·first + share·last."""
        tour = self._tour
        if tour is not None and tour.ends is not None:
            tour.share = share
            self._go_to(tour, (1 - share) * tour.ends[0] + share * tour.ends[1])

    def request_of_point(self) -> DecodeRequest | None:
        """What the point's picture is made of, for keeping it; None while there is none."""
        tour = self._tour
        return None if tour is None or tour.point is None else _decoding(tour, tour.point)

    def request_of_path(self) -> DecodeRequest | None:
        """What the pictures on the way between two patients are made of; None where there is no way."""
        tour = self._tour
        if tour is None or tour.ends is None:
            return None
        return DecodeRequest(tour.model, tour.ends, LatentPath(PATH_STEPS, "linear"), tour.hardware)

    def go_on(self) -> None:
        """Ask what still waits: the run state changed."""
        self._question.go_on()

    def scene_closes(self) -> None:
        """Let go of the picture's node, and of the patients."""
        self._picture.forget()
        self.end()

    def _draw(self, seed: int, prior: str, temperature: float) -> None:
        tour = self._tour
        if tour is not None:
            tour.traversed = None
            request = SynthesizeRequest(tour.model, 1, seed, temperature, tour.hardware, prior)
            self._question.ask(request, lambda result: self._drawn(tour, result))

    def _go_to(self, tour: _Tour, point: np.ndarray) -> None:
        tour.point = point
        self._question.ask(_decoding(tour, point), self._show)
        self._changed()

    def _drawn(self, tour: _Tour, result: Synthesis) -> None:
        if tour is not self._tour:
            return
        if result.latents is None:
            self._complaint = NO_GAUSSIAN
        elif not self._question.is_waiting:  # else the person has moved on
            tour.point = np.array(result.latents[0])
            tour.sliders = tour.sliders or tour.sliders_of(tour.point.size)
            self._show(result)
        self._changed()

    def _show(self, result: Synthesis) -> None:
        self._complaint = ""
        node, is_new = self._picture.show(result)
        if is_new:
            self._shown(node)

    def _failed(self, error: UserError) -> None:
        self._complaint = str(error)
        if self._tour is not None:
            self._tour.traversed = None
        self._changed()


def _decoding(tour: _Tour, point: np.ndarray) -> DecodeRequest:
    return DecodeRequest(tour.model, point[None], hardware=tour.hardware)
