"""What training minimises: one file a family."""

from typing import Any

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network

from .base import Moment, Objective, Terms
from .vae import VAEObjective, VAESettings

__all__ = ["OBJECTIVES", "Moment", "Objective", "ObjectiveSettings", "Terms", "objective_for"]

ObjectiveSettings = VAESettings  # a union of the settings of every kind

OBJECTIVES: dict[str, type[Objective]] = {
    "vae": VAEObjective,
}


def objective_for(network: Network, settings: Any, where: str = "The recipe") -> Objective:
    """The objective of some settings for a network. Raises UserError when they don't fit each other."""
    objective = OBJECTIVES[settings.kind]
    reason = objective.reason_against(network, settings)
    if reason:
        raise UserError(f"{where} does not hold together: {reason}.")
    return objective(network, settings)
