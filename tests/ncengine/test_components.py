"""Every component of the registries: its config loads no torch, and what it builds keeps the contract of its kind."""

import math
import subprocess
import sys
from typing import Literal

import pytest
import torch
from pydantic import ValidationError

import ncengine as nc
from ncengine.components import ALLOW_UNKNOWN, Registry
from ncengine.data.registry import DATASETS
from ncengine.heads.registry import HEADS, HeadConfig
from ncengine.losses.registry import LOSSES, LossConfig
from ncengine.metrics import METRICS
from ncengine.plugins import REGISTRIES

D, K, N = 12, 5, 40


def test_configs_and_descriptions_load_no_torch():
    probe = (
        "import sys\n"
        "from ncengine.plugins import REGISTRIES\n"
        "from ncengine.config import RunConfig\n"
        "found = [name for registry in REGISTRIES.values() for name in registry]\n"
        "RunConfig().hash(), RunConfig.model_json_schema()\n"
        "assert len(found) > 70, found\n"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_a_classifier_of_k_classes(name):
    torch.manual_seed(0)
    head = HEADS[name]().build(D, K, seed=3)
    features, labels = torch.randn(N, D, requires_grad=True), torch.arange(N) % K
    head(features, labels).square().mean().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    head.eval()
    logits = head(features)
    assert logits.shape == (N, K)
    assert torch.equal(logits, head(features, labels)), "evaluation does not look at labels"
    bias = 0 if head.bias is None else head.bias
    torch.testing.assert_close(logits, head.penultimate(features) @ head.weight.T + bias)
    assert (head.bias is not None and head.bias.requires_grad and head.bias.is_leaf) == HEADS[name]().learns_bias


@pytest.mark.parametrize("name", HEADS)
def test_a_head_goes_on_from_its_state(name):
    torch.manual_seed(0)
    first, second = (HEADS[name]().build(D, K, seed=seed) for seed in (0, 1))
    first(torch.randn(N, D), torch.arange(N) % K)
    second.load_state_dict(first.state_dict())
    features = torch.randn(N, D)
    assert torch.equal(first.eval()(features), second.eval()(features))


@pytest.mark.parametrize("name", [name for name in HEADS if HEADS[name].is_etf])
def test_the_weight_of_an_etf_head_is_a_simplex_etf(name):
    head = HEADS[name]().build(D, K, seed=0)
    head(torch.randn(N, D), torch.arange(N) % K)
    gram_KK = head.weight @ head.weight.T
    torch.testing.assert_close(gram_KK, (K * torch.eye(K) - 1) / (K - 1), atol=1e-5, rtol=0)
    config = {"head": {"name": name}, "backbone": {"name": "mlp", "features": 3}}
    with pytest.raises(ValidationError, match=f"backbone.features must be at least 9 for a {name} head"):
        nc.RunConfig.model_validate(config)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_an_average_with_a_gradient(name):
    torch.manual_seed(0)
    loss = LOSSES[name]()
    logits, labels = torch.randn(N, K, requires_grad=True), torch.arange(N) % K
    value = loss.loss(logits, labels)
    assert value.shape == ()
    value.backward()
    value = value.detach()
    assert float(logits.grad.abs().sum()) > 0
    twice = loss.loss(torch.cat([logits, logits]).detach(), torch.cat([labels, labels]))
    assert float(twice) == pytest.approx(float(value), rel=1e-5)
    right = 30 * torch.nn.functional.one_hot(labels, K).float()
    assert float(loss.loss(right, labels)) < float(loss.loss(-right, labels))


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name]().is_resolved])
def test_a_data_set_describes_itself(name):
    info = DATASETS[name]().info()
    assert len(info.class_names) == len(info.train_per_class) >= 2
    assert info.train == sum(info.train_per_class)
    assert len(info.mean) == len(info.std) == (info.shape[0] if len(info.shape) == 3 else 0)
    assert DATASETS[name].has_indices == (info.shape == ())


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_a_metric_is_described(spec):
    assert spec.label
    assert spec.formula
    assert spec.reading.endswith((".", "?"))
    assert spec.source
    assert spec.ideal is None or math.isfinite(spec.ideal(10))


# ── registries ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_components_cannot_have_one_name():
    registry = Registry("a.group", ("ncengine.metrics.nc4:SPECS",), lambda spec: spec.key)
    assert list(registry) == ["nc4_ncc_mismatch", "nc4_bias", "ncc_accuracy"]
    with pytest.raises(ValueError, match=r"a\.group: two components have the name 'nc4_bias'"):
        registry.add(METRICS["nc4_bias"])
    assert len(registry) == 3


def test_a_component_of_another_kind_is_refused():
    with pytest.raises(
        TypeError, match=r"collapse_lab\.heads: expected a subclass of HeadConfig, got <class .*CrossEntropy"
    ):
        HEADS.add(LOSSES["cross-entropy"])


@pytest.fixture
def added_loss(monkeypatch):
    """A loss that is added to the registry for one test."""

    class Hinge(LossConfig):
        """Hinge loss."""

        name: Literal["hinge"] = "hinge"
        margin: float = 1.0

    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES))
    assert LOSSES.add(Hinge) == ["hinge"]
    return Hinge


def test_an_added_component_belongs_to_configs_and_their_schema(added_loss):
    before = nc.RunConfig()
    config = nc.RunConfig.model_validate({"loss": {"name": "hinge", "margin": 2}})
    assert isinstance(config.loss, added_loss)
    assert nc.RunConfig.model_validate_json(config.canonical_json()) == config
    schema = nc.RunConfig.model_json_schema()
    assert "hinge" in schema["properties"]["loss"]["discriminator"]["mapping"]
    assert before.hash() == nc.RunConfig().hash()
    with pytest.raises(ValidationError, match="valid number"):
        nc.RunConfig.model_validate({"loss": {"name": "hinge", "margin": "wide"}})


def test_a_stored_config_of_an_unknown_component_can_be_read_and_not_submitted():
    tree = nc.RunConfig().model_dump(mode="json")
    tree["head"] = {"name": "of-a-plugin", "sharpness": 3, "temperature": 5.0, "normalise": True}
    with pytest.raises(ValidationError, match="'of-a-plugin' found using 'name' does not match"):
        nc.RunConfig.model_validate(tree)
    stored = nc.RunConfig.model_validate(tree, context=ALLOW_UNKNOWN)
    assert stored.unknown_components() == ["head.name=of-a-plugin"]
    assert isinstance(stored.head, HeadConfig)
    assert stored.model_dump(mode="json") == tree, "nothing of it is lost"
    assert stored.classes == 10
    with pytest.raises(ValueError, match=r"head\.name=of-a-plugin must be a known component; .* --plugins PACKAGE"):
        stored.require_known_components()
    tree = nc.RunConfig().model_dump(mode="json") | {"data": {"name": "of-a-plugin"}}
    stored = nc.RunConfig.model_validate(tree, context=ALLOW_UNKNOWN)
    assert (stored.classes, stored.class_names, stored.is_resolved) == (0, (), True)


def test_known_components_are_validated_in_stored_configs_too():
    with pytest.raises(ValidationError, match="greater than 0"):
        nc.RunConfig.model_validate({"head": {"name": "linear", "temperature": -1}}, context=ALLOW_UNKNOWN)


def test_registries_are_the_groups_of_entry_points():
    assert set(REGISTRIES) == {
        f"collapse_lab.{kind}" for kind in ("heads", "losses", "metrics", "datasets", "backbones")
    }
