"""What training minimises: one file a family."""

from .vae import Terms, VAEObjective

__all__ = ["Terms", "VAEObjective"]
