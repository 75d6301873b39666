"""Backbones: every kind gives d features of the images it is for; hidden layers can be captured."""

import pytest
import torch

import ncengine as nc
from ncengine.backbones import small_networks
from ncengine.backbones import torchvision_models_config as cfg
from ncengine.backbones.registry import BACKBONES
from ncengine.backbones.torchvision_models import GreyAsColour
from ncengine.backbones.unconstrained_config import FreeFeaturesConfig
from ncengine.measurement.hooks import capture_outputs, pool_output, require_layers
from tests.harness import tiny

SLOW = {"resnet101", "resnet152", "torchvision"}
"""The first two are built as resnet50 is; the third has tests of its own below."""
SMALL = {name: config for name, config in BACKBONES.items() if name not in SLOW and not config.takes_indices}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", list(SMALL))
def test_images_become_features(name, shape):
    network = SMALL[name](features=11).build(shape, 10)
    features = network(torch.randn(2, *shape))
    assert features.shape == (2, 11)
    features.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("config", "own"), [(cfg.ResNet18(), 512), (cfg.Vgg11(), 512), (cfg.VitTiny(), 192), (cfg.ResNext50(), 2048)]
)
def test_a_networks_own_features_need_no_projection(config, own):
    assert config.features == own
    network = config.build((3, 32, 32), 10)
    last = list(network.modules())[-1]
    assert isinstance(last, torch.nn.Identity)
    assert network.eval()(torch.randn(1, 3, 32, 32)).shape == (1, own)


def test_stems_differ_in_their_early_strides():
    cifar = cfg.ResNet18().build((3, 32, 32), 10)
    imagenet = cfg.ResNet18(stem="imagenet").build((1, 64, 64), 10)
    assert (cifar.conv1.stride, cifar.conv1.kernel_size) == ((1, 1), (3, 3))
    assert (imagenet.conv1.stride, imagenet.conv1.kernel_size, imagenet.conv1.in_channels) == ((2, 2), (7, 7), 1)
    wide = cfg.Vgg11(stem="imagenet", features=9).build((3, 64, 64), 10)
    assert wide.classifier[6].in_features == 4096
    assert len(list(cfg.ResNet101().build((3, 32, 32), 10).layer3)) == 23


@pytest.mark.parametrize("model", ["mobilenet_v3_small", "squeezenet1_1", "densenet121", "shufflenet_v2_x0_5"])
def test_any_network_of_torchvision(model):
    network = cfg.TorchvisionModel(model=model, features=7).build((1, 64, 64), 10)
    assert isinstance(network, GreyAsColour)
    assert network.eval()(torch.randn(2, 1, 64, 64)).shape == (2, 7)


def test_the_names_are_torchvisions():
    from typing import get_args

    from torchvision import models

    known = set(models.list_models(module=models)) - {"googlenet", "inception_v3"}  # which give more than one output
    assert set(get_args(cfg.TorchvisionName)) == known


def test_free_features_are_the_parameters():
    network = FreeFeaturesConfig(features=6, scale=3.0).build((), 500)
    assert [tuple(p.shape) for p in network.parameters()] == [(500, 6)]
    assert float(network.features_ND.detach().std()) == pytest.approx(3.0, rel=0.05)
    rows = torch.tensor([4, 4, 1])
    assert torch.equal(network(rows), network.features_ND[rows])


def test_a_tapped_layer_is_averaged_over_positions():
    network = small_networks.CnnSmall(features=5).build((1, 8, 8), 10).eval()
    images = torch.randn(3, 1, 8, 8)
    with capture_outputs(network, ["2", "9"]) as held:
        network(images)
        found = dict(held)
    expected = network[:3](images).mean((2, 3))
    torch.testing.assert_close(found["2"], expected)
    assert pool_output(torch.randn(3, 7, 5)).shape == (3, 5), "tokens are averaged"
    assert not network[2]._forward_hooks, "hooks are gone afterwards"
    with pytest.raises(ValueError, match=r"'nowhere' is none; it has 0, 1"):
        require_layers(network, ["nowhere"])


def test_hidden_layers_are_measured_beside_the_last():
    config = tiny(device="cpu", epochs=1, measure={"layers": ["1", "3"], "first_epoch_captures": 0})
    measured = next(event for event in nc.run(config) if event.type == "EpochMeasured")
    assert list(measured.layers) == ["1", "3"]
    for scalars in measured.layers.values():
        assert scalars["nc1"] > 0
    assert measured.layers["1"]["nc1"] > measured.layers["3"]["nc1"], "deeper layers are further collapsed"
    with pytest.raises(ValueError, match=r"measure\.layers must be modules of the backbone"):
        list(nc.run(tiny(device="cpu", measure={"layers": ["layer9"]})))
