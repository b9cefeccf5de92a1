"""What a folder of patients holds and what a training would see of it: found out, and told as table, JSON and HTML."""

from .findings import Inspection
from .inspect import inspect

__all__ = ["Inspection", "inspect"]
