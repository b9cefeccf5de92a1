"""Networks by family name. A network is data in a bundle or recipe: its family and its settings."""

from .interface import Network
from .registry import build, families

__all__ = ["Network", "build", "families"]
