"""An untrained network begins about as bright as the images that it will be trained on."""

import pytest
import torch

from SlicerVAELib.core.networks import build

SIGMOID_FAMILIES = {
    "table52_ae": {},
    "table52_vae": {},
    "table52_map_vae": {},
    "table52_svae": {},
    "table52_map_svae": {},
    "table52_vqvae": {},
    "table52_vqvae_adapted": {},
    "conv_pool_vae": {},
    "brain_vae": {},
    "brain_vqvae": {},
    "cevae": {},
}


def beginning(family, settings, means):
    torch.manual_seed(0)
    network = build(family, {"size": 64, "channels": len(means), **settings}).train()
    network.begin_at(torch.tensor(means))
    with torch.inference_mode():
        return network.decode(torch.randn(16, *network.latent.shape)).mean(dim=(0, 2, 3)).tolist()


@pytest.mark.parametrize(("family", "settings"), SIGMOID_FAMILIES.items())
def test_images_begin_about_the_mean_of_each_channel(family, settings):
    found = beginning(family, settings, (0.1, 0.6))
    assert found == pytest.approx([0.1, 0.6], abs=0.12)
    assert abs(found[0] - 0.5) > 0.3


def test_a_channel_without_light_does_not_begin_where_the_sigmoid_is_flat():
    assert 0.001 < beginning("conv_pool_vae", {}, (0.0,))[0] < 0.05
