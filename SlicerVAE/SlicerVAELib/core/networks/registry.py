"""Family names and what they build."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError, nearest
from ..records import from_data
from .brain_vae import BrainVAE, BrainVAESettings
from .brain_vqvae import BrainVQVAE, BrainVQVAESettings
from .cevae import CEVAESettings, ContextEncodingVAE
from .conv_pool import ConvPoolSettings, ConvPoolVAE
from .conv_pool_structures import ConvPoolStructuresSettings, ConvPoolStructuresVAE
from .hierarchical import ConditionalHierarchy, HierarchySettings, PrimaryComponentsHierarchy
from .high_low import HighLowSettings, HighLowVAE
from .interface import Network
from .table52 import Table52Settings, Table52VAE
from .table52_ae import Table52AE, Table52AESettings
from .table52_map_vae import Table52MapSettings, Table52MapVAE
from .table52_svae import Table52MapSVAE, Table52MapSVAESettings, Table52SVAE, Table52SVAESettings
from .table52_vqvae import AdaptedVQVAE, AdaptedVQVAESettings, Table52VQVAE, Table52VQVAESettings
from .vqvae2 import VQVAE2, VQVAE2Settings


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of network: the dataclass of its settings and the class that takes them."""

    settings: type
    network: Callable[[Any], Network]


families: dict[str, Family] = {
    "brain_vae": Family(BrainVAESettings, BrainVAE),
    "brain_vqvae": Family(BrainVQVAESettings, BrainVQVAE),
    "cevae": Family(CEVAESettings, ContextEncodingVAE),
    "chvae": Family(HierarchySettings, ConditionalHierarchy),
    "conv_pool_structures": Family(ConvPoolStructuresSettings, ConvPoolStructuresVAE),
    "conv_pool_vae": Family(ConvPoolSettings, ConvPoolVAE),
    "high_low_vae": Family(HighLowSettings, HighLowVAE),
    "pchvae": Family(HierarchySettings, PrimaryComponentsHierarchy),
    "table52_vae": Family(Table52Settings, Table52VAE),
    "table52_ae": Family(Table52AESettings, Table52AE),
    "table52_map_vae": Family(Table52MapSettings, Table52MapVAE),
    "table52_svae": Family(Table52SVAESettings, Table52SVAE),
    "table52_map_svae": Family(Table52MapSVAESettings, Table52MapSVAE),
    "table52_vqvae": Family(Table52VQVAESettings, Table52VQVAE),
    "table52_vqvae_adapted": Family(AdaptedVQVAESettings, AdaptedVQVAE),
    "vqvae2": Family(VQVAE2Settings, VQVAE2),
}


def build(family: str, settings: Mapping[str, Any], where: str = "the network's settings") -> Network:
    """Build an untrained network. Raises UserError for an unknown family or settings that do not fit it."""
    if family not in families:
        raise UserError(f"{where}: there is no family '{family}'; {nearest(family, families)}")
    chosen = families[family]
    return chosen.network(from_data(chosen.settings, settings, where))
