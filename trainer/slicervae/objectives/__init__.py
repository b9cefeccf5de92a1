"""What training minimises: one file a family."""

from typing import Any

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network

from .autoencoder import AutoencoderObjective, AutoencoderSettings
from .base import Moment, Objective, Terms
from .cevae import CEVAEObjective, CEVAESettings
from .hierarchical import HierarchicalObjective, HierarchicalSettings
from .introvae import IntroVAEObjective, IntroVAESettings
from .pchvae import PrimaryComponentsObjective, PrimaryComponentsSettings
from .soft_introvae import SoftIntroVAEObjective, SoftIntroVAESettings
from .structures import StructuresObjective, StructuresSettings
from .vae import VAEObjective, VAESettings
from .vpga import VPGAObjective, VPGASettings
from .vqvae import VQVAEObjective, VQVAESettings

__all__ = ["OBJECTIVES", "Moment", "Objective", "ObjectiveSettings", "Terms", "objective_for"]

# The settings of every kind, one a line.
ObjectiveSettings = (
    AutoencoderSettings
    | CEVAESettings
    | HierarchicalSettings
    | IntroVAESettings
    | PrimaryComponentsSettings
    | SoftIntroVAESettings
    | StructuresSettings
    | VAESettings
    | VPGASettings
    | VQVAESettings
)

OBJECTIVES: dict[str, type[Objective]] = {
    "autoencoder": AutoencoderObjective,
    "cevae": CEVAEObjective,
    "chvae": HierarchicalObjective,
    "introvae": IntroVAEObjective,
    "pchvae": PrimaryComponentsObjective,
    "soft_introvae": SoftIntroVAEObjective,
    "structures": StructuresObjective,
    "vae": VAEObjective,
    "vpga": VPGAObjective,
    "vqvae": VQVAEObjective,
}


def objective_for(network: Network, settings: Any, where: str = "The recipe") -> Objective:
    """The objective of some settings for a network. Raises UserError when they don't fit each other."""
    objective = OBJECTIVES[settings.kind]
    reason = objective.reason_against(network, settings)
    if reason:
        raise UserError(f"{where} does not hold together: {reason}.")
    return objective(network, settings)
