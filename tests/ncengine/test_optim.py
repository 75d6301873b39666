"""Optimisers and schedules: AGD against its formula, weight decay by kind, falls and warm-up, losses."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from ncengine.backbones.small_networks import CnnSmall, Mlp
from ncengine.backbones.torchvision_models_config import ResNet18
from ncengine.backbones.unconstrained_config import FreeFeaturesConfig
from ncengine.config import (
    Adam,
    AdamW,
    Agd,
    ConstantSchedule,
    CosineSchedule,
    MultiStepSchedule,
    OneCycleSchedule,
    Sgd,
    StepSchedule,
)
from ncengine.heads.linear_config import LinearHeadConfig
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.losses.cross_entropy import CrossEntropy
from ncengine.losses.mean_squared_error import MeanSquaredError
from ncengine.training.optim import (
    AutomaticGradientDescent,
    lr_factor,
    make_optimiser,
    parameter_groups,
    remove_biases_and_scales,
)


def reference_agd(weights, gradients, gain):
    """Bernstein et al. 2023, algorithm 1 and its appendix on convolutions, with loops over positions."""
    depth, total = len(weights), 0.0
    scales = [math.sqrt(w.shape[0] / w.shape[1] / math.prod(w.shape[2:])) for w in weights]
    for gradient, scale in zip(gradients, scales, strict=True):
        for position in gradient.flatten(2).unbind(2) if gradient.ndim > 2 else [gradient]:
            total += scale * float(position.norm())
    eta = math.log((1 + math.sqrt(1 + 4 * total / depth)) / 2)
    moved = []
    for weight, gradient, scale in zip(weights, gradients, scales, strict=True):
        new = weight.clone()
        flat, slope = new.view(*new.shape[:2], -1), gradient.reshape(*gradient.shape[:2], -1)
        for position in range(flat.shape[2]):
            flat[:, :, position] -= gain * eta / depth * scale * slope[:, :, position] / slope[:, :, position].norm()
        moved.append(new)
    return moved, gain * eta


def test_agd_is_its_formula():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(32, 5, bias=False)).double()
    optimiser = AutomaticGradientDescent(network.parameters(), gain=2.0)
    for _ in range(3):
        optimiser.zero_grad()
        network(torch.randn(6, 3, 4, 4, dtype=torch.float64)).square().sum().backward()
        before = [p.detach().clone() for p in network.parameters()]
        expected, rate = reference_agd(before, [p.grad for p in network.parameters()], 2.0)
        optimiser.step()
        for parameter, wanted in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.detach(), wanted, atol=1e-12, rtol=1e-10)
        assert optimiser.automatic_rate == pytest.approx(rate)


def test_agd_starts_orthogonal_and_scaled():
    network = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False), nn.Linear(32, 16, bias=False))
    AutomaticGradientDescent(network.parameters())
    kernel, matrix = (p.detach() for p in network.parameters())
    scale = math.sqrt(8 / 4 / 9)
    for position in kernel.flatten(2).unbind(2):
        torch.testing.assert_close(position.T @ position, scale**2 * torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(matrix @ matrix.T, (16 / 32) * torch.eye(16), atol=1e-5, rtol=0)


def test_agd_leaves_what_has_no_gradient_and_refuses_vectors():
    weight = nn.Parameter(torch.ones(3, 2))
    optimiser = AutomaticGradientDescent([weight])
    held = weight.detach().clone()
    weight.grad = torch.zeros(3, 2)
    optimiser.step()
    assert torch.equal(weight, held)
    with pytest.raises(ValueError, match="rank 2 and more"):
        AutomaticGradientDescent(nn.Linear(3, 2).parameters())


@pytest.mark.parametrize("backbone", [CnnSmall(features=9), Mlp(features=9), ResNet18(features=9)])
def test_a_network_for_agd_has_linear_maps_alone(backbone):
    network = backbone.build((1, 12, 12), 10)
    remove_biases_and_scales(network)
    assert {p.ndim >= 2 for p in network.parameters()} == {True}
    assert network(torch.randn(4, 1, 12, 12)).shape == (4, 9)


def test_weight_decay_by_kind():
    backbone, head = CnnSmall(features=9).build((1, 8, 8), 10), LinearHeadConfig().build(9, 5, 0)
    config = Sgd(weight_decay=0.1, decay_norms_and_biases=False, head_weight_decay=0.01)
    held = {id(p): group["weight_decay"] for group in parameter_groups(config, backbone, head) for p in group["params"]}
    for parameter in backbone.parameters():
        assert held[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0)
    assert held[id(head.layer.weight)] == 0.01
    assert held[id(head.layer.bias)] == 0.0
    everything = parameter_groups(Sgd(weight_decay=0.1), backbone, head)
    assert {group["weight_decay"] for group in everything} == {0.1}
    free = FreeFeaturesConfig(features=9).build((), 20)
    found = parameter_groups(
        AdamW(weight_decay=0.1, feature_weight_decay=0.3), free, NearestETFHeadConfig().build(9, 5, 0)
    )
    assert [group["weight_decay"] for group in found] == [0.3]


@pytest.mark.parametrize(
    ("config", "stock"), [(Sgd(lr=0.1), torch.optim.SGD), (Adam(), torch.optim.Adam), (AdamW(), torch.optim.AdamW)]
)
def test_steps_and_states_are_those_of_torch(config, stock):
    torch.manual_seed(0)
    ours = Mlp(features=8, width=16).build((6,), 10)
    theirs = copy.deepcopy(ours)
    head = NearestETFHeadConfig().build(8, 3, 0)
    optimiser = make_optimiser(config, ours, head)
    groups = parameter_groups(config, theirs, head)
    other = stock(groups, lr=config.lr, **({"momentum": config.momentum} if isinstance(config, Sgd) else {}))
    for step in range(6):
        samples = torch.randn(20, 6)
        for network, method in ((ours, optimiser), (theirs, other)):
            method.zero_grad()
            network(samples).square().mean().backward()
            assert all(parameter.requires_grad for parameter in network.parameters())
            method.step()
        if step == 2:
            held = optimiser.state_dict()
            optimiser = make_optimiser(config, ours, head)
            optimiser.load_state_dict(held)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("config", [Sgd(), Sgd(nesterov=True), Adam(), AdamW(), Agd()])
def test_every_optimiser_lowers_a_loss(config):
    torch.manual_seed(0)
    backbone = Mlp(features=8, width=16).build((6,), 10)
    if isinstance(config, Agd):
        remove_biases_and_scales(backbone)
    head = LinearHeadConfig(bias=not isinstance(config, Agd)).build(8, 3, 0)
    optimiser = make_optimiser(config, backbone, head)
    samples, labels = torch.randn(60, 6), torch.arange(60) % 3
    samples[range(60), labels] += 2
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = CrossEntropy().loss(head(backbone(samples), labels), labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_falls_happen_at_an_epochs_first_step():
    step = [lr_factor(StepSchedule(every=2, factor=0.1), s, 50, 10) for s in (0, 19, 20, 39, 40)]
    assert step == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    multi = [lr_factor(MultiStepSchedule(milestones=(1, 3), factor=0.5), s, 50, 10) for s in (9, 10, 29, 30, 49)]
    assert multi == pytest.approx([1, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize("schedule", [ConstantSchedule, CosineSchedule, OneCycleSchedule, StepSchedule])
def test_warm_up_rises_to_where_the_schedule_begins(schedule):
    config = schedule(warmup_epochs=2)
    factors = [lr_factor(config, step, 100, 10) for step in range(100)]
    assert all(a < b for a, b in itertools.pairwise(factors[:20]))
    plain = [lr_factor(schedule(), step, 80, 10) for step in range(80)]
    if schedule is not StepSchedule:  # whose falls count epochs of the run
        assert factors[20:] == pytest.approx(plain)
    assert factors[0] == pytest.approx(plain[0] / 21)
    assert all(0 < factor <= 1 for factor in factors)


def test_losses_are_their_formulas():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (7,), generator=generator)
    smooth, square = 0.0, 0.0
    for z, y in zip(logits, labels, strict=True):
        log_softmax = z - z.exp().sum().log()
        target = torch.full((4,), 0.1 / 4, dtype=torch.float64)
        target[y] += 0.9
        smooth -= float((target * log_softmax).sum()) / 7
        others = sum(float(z[c]) ** 2 for c in range(4) if c != y)
        square += (15 * (float(z[y]) - 30) ** 2 + others) / 4 / 7
    assert float(CrossEntropy(label_smoothing=0.1).loss(logits, labels)) == pytest.approx(smooth)
    assert float(MeanSquaredError(weight=15, target=30).loss(logits, labels)) == pytest.approx(square)
    plain = nn.functional.mse_loss(logits, nn.functional.one_hot(labels, 4).double())
    assert float(MeanSquaredError().loss(logits, labels)) == pytest.approx(float(plain))
