"""The form follows RunConfig's schema: every setting has a field, kinds bring their own, values come back as typed."""

from __future__ import annotations

import pytest

from dashboard.components import form
from dashboard.pages import new
from ncengine.config import (
    AdamW,
    CnnSmall,
    FixedETFHead,
    LinearHead,
    Mlp,
    NearestETFHead,
    ResNet18,
    RunConfig,
    with_overrides,
)
from ncengine.preset_configs import PRESETS

SCHEMA = RunConfig.model_json_schema()


def paths(config: RunConfig) -> set[str]:
    tree = config.model_dump(mode="json")
    return {field.path for _, names in form.SECTIONS for name in names for field in form.fields(SCHEMA, tree, name)}


def settings(config: RunConfig) -> set[str]:
    found = set()
    for name, value in config.model_dump(mode="json").items():
        found |= {f"{name}.{inner}" for inner in value} if isinstance(value, dict) else {name}
    return found


@pytest.mark.parametrize("head", [NearestETFHead(averaging="ema"), FixedETFHead(), LinearHead()])
@pytest.mark.parametrize("backbone", [CnnSmall(), Mlp(), ResNet18()])
def test_every_setting_has_a_field_and_no_other(head, backbone):
    config = RunConfig(head=head, backbone=backbone, optimiser=AdamW())
    missing = settings(config) - paths(config)
    # Choices of one kind are no choice, and so have no field.
    assert missing <= {"loss.name", "measure.name"}
    assert paths(config) <= settings(config)


def test_every_field_has_words():
    tree = RunConfig().model_dump(mode="json")
    for _, names in form.SECTIONS:
        for name in names:
            for field in form.fields(SCHEMA, tree, name):
                assert field.title
                assert field.help, f"{field.path} has no help"


def test_a_setting_that_means_nothing_is_not_shown():
    assert "head.half_life_steps" not in paths(RunConfig())
    assert "head.half_life_steps" in paths(RunConfig(head=NearestETFHead(averaging="ema")))


@pytest.mark.parametrize("name", list(PRESETS))
def test_what_the_form_holds_is_the_config(name):
    config = PRESETS[name]()
    tree = config.model_dump(mode="json")
    held = {
        field.path: field.value
        for _, names in form.SECTIONS
        for part in names
        for field in form.fields(SCHEMA, tree, part)
        if not field.chooses_part
    }
    assert RunConfig.model_validate(form.assembled(tree, held)) == config


def test_another_kind_starts_from_its_own_defaults():
    part = form.defaults_of(SCHEMA, "optimiser", "adamw")
    assert part == AdamW().model_dump(mode="json")


def test_the_command_makes_the_same_config():
    """What the page prints as `--set` gives the config that the form holds."""
    preset = PRESETS["fashion-nearest"]()
    wanted = with_overrides(preset, {"head.name": "linear", "head.bias": False, "optimiser.lr": 0.02, "epochs": 7})
    different = new.changes(wanted.model_dump(mode="json"), preset.model_dump(mode="json"))
    from backend.cli import _config

    again = _config("fashion-nearest", [f"{path}={new.setting(to)}" for path, (_, to) in different.items()])
    assert again == wanted
