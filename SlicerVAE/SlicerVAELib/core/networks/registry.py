"""Family names and what they build."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError, nearest
from ..records import from_data
from .interface import Network
from .table52 import Table52Settings, Table52VAE


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of network: the dataclass of its settings and the class that takes them."""

    settings: type
    network: Callable[[Any], Network]


families: dict[str, Family] = {
    "table52_vae": Family(Table52Settings, Table52VAE),
}


def build(family: str, settings: Mapping[str, Any], where: str = "the network's settings") -> Network:
    """Build an untrained network. Raises UserError for an unknown family or settings that do not fit it."""
    if family not in families:
        raise UserError(f"{where}: there is no family '{family}'; {nearest(family, families)}")
    chosen = families[family]
    return chosen.network(from_data(chosen.settings, settings, where))
