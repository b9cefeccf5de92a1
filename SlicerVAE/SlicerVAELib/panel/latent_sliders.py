"""Which latents get a slider, and what each is called."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError, listed
from ..core.manifest import Manifest
from .translation import tr as _

if TYPE_CHECKING:
    from ..core.latent_facts import LatentFact

MOST = 8
MOST_TOLD = 3  # facts that a latent goes together with
RANGE = _("Latent {index}, in standard deviations of the prior.")
UNDESCRIBED = _(
    "What the latents do is not known; 'slicervae describe-latents' finds it out. Shown are the first ones."
)


@dataclasses.dataclass(frozen=True)
class LatentSliders:
    """``indices`` count the flattened latents, ``names`` are what each does and ``tips`` what more is known of it;
    ``note`` is for the person."""

    indices: tuple[int, ...]
    names: tuple[str, ...]
    tips: tuple[str, ...]
    note: str = ""

    @classmethod
    def of(cls, bundle: Path, manifest: Manifest, latents: int) -> "LatentSliders":
        """The latents that change the picture most, as the bundle tells them; the first ones where it does not."""
        from ..core.latent_facts import read_latent_facts  # needs a package that may have to be installed first

        try:
            described = read_latent_facts(bundle, manifest)
        except UserError as error:
            return cls._first(latents, _("{error} Shown are the first ones.").format(error=error))
        if described is None:
            return cls._first(latents, UNDESCRIBED)
        facts = described[0]
        chosen = [latent for latent in facts.latents if latent.index < latents][:MOST]
        return cls(
            tuple(latent.index for latent in chosen),
            _different([_name(latent) for latent in chosen]),
            tuple(_tip(latent, facts.unit) for latent in chosen),
            _("The {count} that change the picture most, of {active} active latents.").format(
                count=len(chosen), active=facts.active
            ),
        )

    @classmethod
    def _first(cls, latents: int, note: str) -> "LatentSliders":
        indices = tuple(range(min(latents, MOST)))
        names = tuple(_("Latent {index}").format(index=index) for index in indices)
        return cls(indices, names, tuple(RANGE.format(index=index) for index in indices), note)


def _name(latent: "LatentFact") -> str:
    words = latent.follows or latent.name
    return words[:1].upper() + words[1:]


def _different(names: list[str]) -> tuple[str, ...]:
    """The names, with a number behind one that was there before."""
    return tuple(
        f"{name} ({earlier + 1})" if (earlier := names[:place].count(name)) else name
        for place, name in enumerate(names)
    )


def _tip(latent: "LatentFact", unit: str) -> str:
    sentences = [
        RANGE.format(index=latent.index),
        _("From −1 to +1 the picture changes by {change:.3g} {unit} on average.").format(
            change=latent.influence, unit=unit
        ),
    ]
    if latent.correlations:
        told = (f"{fact.replace('_', ' ')} (r = {r:.2f})" for fact, r in list(latent.correlations.items())[:MOST_TOLD])
        sentences.append(_("It goes together with {facts}.").format(facts=listed(tuple(told))))
    return " ".join(sentences)
