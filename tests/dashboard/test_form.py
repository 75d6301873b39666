"""The form follows RunConfig's schema: every setting has a field, kinds bring their own, values come back as typed."""

from __future__ import annotations

import pytest

import ncengine.config as config_module
from backend.api import wire
from dashboard.components import form
from dashboard.pages import launch
from ncengine.backbones.registry import BACKBONES
from ncengine.config import AdamW, MultiStepSchedule, RunConfig, with_overrides
from ncengine.data.public_datasets_config import Cifar10
from ncengine.data.registry import DATASETS
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.heads.registry import HEADS
from ncengine.losses.registry import LOSSES
from ncengine.preset_configs import PRESETS

SCHEMA = RunConfig.model_json_schema()


def all_fields(tree: dict) -> list[form.Field]:
    return [field for _, names in form.SECTIONS for name in names for field in form.list_fields(SCHEMA, tree, name)]


def paths(config: RunConfig) -> set[str]:
    return {field.path for field in all_fields(config.model_dump(mode="json"))}


def settings(config: RunConfig) -> set[str]:
    """All settings of a config that mean anything beside its others."""
    found = set()
    for name, value in config.model_dump(mode="json").items():
        if not isinstance(value, dict):
            found.add(name)
            continue
        for inner, node in SCHEMA["$defs"][type(getattr(config, name)).__name__]["properties"].items():
            applies = node.get("applies_if", {}).items()
            if not node.get("hidden") and all(value[other] in allowed for other, allowed in applies):
                found.add(f"{name}.{inner}")
    return found


def test_rare_settings_are_folded_unless_one_was_changed():
    usual = RunConfig().model_dump(mode="json")
    changed = with_overrides(RunConfig(), {"data.label_noise": "pairwise", "data.noise_rate": 0.3}).model_dump(
        mode="json"
    )

    def folded(config: dict) -> list[bool]:
        sections = form.render(SCHEMA, config, [], ["cpu"])
        details = [part for section in sections for part in section.children if type(part).__name__ == "Details"]
        return [part.open for part in details]

    assert not any(folded(usual))
    assert folded(changed)[0]
    assert sum(folded(changed)) == 1


def test_a_grid_is_read_line_by_line():
    assert launch.parse_grid(" optimiser.lr = 0.05, 0.1\n\nhead.name=linear,nearest-etf\nepochs=3") == {
        "optimiser.lr": [0.05, 0.1], "head.name": ["linear", "nearest-etf"], "epochs": [3]
    }  # fmt: skip
    assert launch.parse_grid(None) == launch.parse_grid("") == {}
    for wrong in ("optimiser.lr", "=1", "optimiser.lr=", "optimiser.lr = , "):
        with pytest.raises(ValueError, match="a setting and its values, such as"):
            launch.parse_grid(wrong)


def test_the_command_is_what_is_launched():
    preset = launch.Start("digits-nearest", "digits-nearest", {})
    line = launch.format_command(preset, {"epochs": (20, 5)}, {"head.name": ["linear", "fixed-etf"]}, 3)
    assert line.replace(" \\\n  ", " ") == (
        "collapse run digits-nearest --set epochs=5 --grid head.name=linear,fixed-etf --seeds 3"
    )
    of_run = launch.Start("run:r1", "first", {})
    assert of_run.run_id == "r1"
    assert launch.format_command(of_run, {"epochs": (20, 5)}, {}, 1) == "collapse run config.json"


def words(parts: object) -> str:
    """All text of some components."""
    if isinstance(parts, list):
        return " ".join(words(part) for part in parts)
    children = getattr(parts, "children", None)
    return words(children) if children is not None else "" if hasattr(parts, "to_plotly_json") else str(parts)


def estimate(**changes: object) -> wire.LaunchEstimate:
    known = {"runs": 6, "seconds": 120.0, "wall_seconds": 60.0, "memory_bytes": 420_000_000, "measured_runs": 3}
    rest = {"alike": "with the same settings", "unknown": 0, "ahead": 0, "slots": 2}
    return wire.LaunchEstimate.model_validate(known | rest | changes)


def test_what_it_takes_is_said_before_the_launch():
    facts = {"classes": 10, "train": 1000, "steps": 200, "kept_captures": 0, "kept_bytes_each": 0}
    check = wire.ConfigCheck(errors=[], config=RunConfig(), facts=facts)
    said = words(launch.summary_view(check, estimate()))
    assert "6 runs, about  1 min" in said
    assert "420 MB" in said
    assert "Starts  now" in said
    assert "Estimated from 3 runs with the same settings" in said
    assert "Queue:  5 ahead" in words(launch.summary_view(check, estimate(ahead=5)))
    unknown = words(launch.summary_view(check, estimate(seconds=None, wall_seconds=None, measured_runs=0, unknown=6)))
    assert "no similar run was measured" in unknown
    wrong = wire.ConfigCheck(errors=[wire.FieldError(path="epochs", message="x")], config=None, facts={})
    assert "Fix the highlighted fields" in words(launch.summary_view(wrong, None))


REGISTRIES = {"data": DATASETS, "backbone": BACKBONES, "head": HEADS, "loss": LOSSES}


def kinds() -> list[tuple[str, str]]:
    return [
        (part, kind)
        for part, node in SCHEMA["properties"].items()
        for kind in node.get("discriminator", {}).get("mapping", {})
    ]


@pytest.mark.parametrize(("part", "kind"), kinds())
def test_every_setting_of_every_kind_has_a_field_and_no_other(part, kind):
    tree = RunConfig().model_dump(mode="json")
    tree[part] = form.get_defaults(SCHEMA, part, kind)
    class_name = SCHEMA["properties"][part]["discriminator"]["mapping"][kind].rpartition("/")[2]
    model = REGISTRIES[part][kind] if part in REGISTRIES else getattr(config_module, class_name)
    # Some kinds go together with no other, which is not looked at here.
    parts = {name: getattr(RunConfig(), name) for name in RunConfig.model_fields}
    built = RunConfig.model_construct(**(parts | {part: model.model_validate(tree[part])}))
    found = {field.path for field in all_fields(tree)}
    # The measurement has one kind, and so no choice of one.
    assert found == settings(built) - {"measure.name"}


def test_a_setting_that_governs_others_brings_them():
    tree = RunConfig().model_dump(mode="json")
    changed = form.apply_choices(SCHEMA, tree, {"data.name": "fashion-mnist-mini", "data.label_noise": "pairwise"})
    assert changed is not None
    assert "data.noise_rate" in {field.path for field in form.list_fields(SCHEMA, changed, "data")}
    assert form.apply_choices(SCHEMA, changed, {"data.label_noise": "pairwise"}) is None
    other = form.apply_choices(SCHEMA, changed, {"data.name": "cifar10", "data.label_noise": "pairwise"})
    assert other is not None
    assert other["data"] == Cifar10().model_dump(mode="json"), "another kind starts from its own defaults"


def test_lists_and_empty_numbers_come_back_as_what_they_are():
    tree = RunConfig(schedule=MultiStepSchedule()).model_dump(mode="json")
    held = {"schedule.milestones": "10, 20", "optimiser.clip_norm": "", "measure.layers": "0, 3", "data.classes": []}
    config = RunConfig.model_validate(form.assemble(tree, held))
    assert config.schedule.milestones == (10, 20)
    assert config.optimiser.clip_norm is None
    assert form.parse_value("measure.layers", "layer1, layer2.0", []) == ["layer1", "layer2.0"]
    assert form.parse_value("data.path", "", "") == ""


def test_every_field_has_words():
    tree = RunConfig().model_dump(mode="json")
    for field in all_fields(tree):
        assert field.title
        assert field.help, f"{field.path} has no help"


def test_a_setting_that_means_nothing_is_not_shown():
    assert "head.half_life_steps" not in paths(RunConfig())
    assert "head.half_life_steps" in paths(RunConfig(head=NearestETFHeadConfig(averaging="ema")))


@pytest.mark.parametrize("name", list(PRESETS))
def test_what_the_form_holds_is_the_config(name):
    config = PRESETS[name]()
    tree = config.model_dump(mode="json")
    held = {field.path: field.value for field in all_fields(tree) if not field.changes_fields}
    assert RunConfig.model_validate(form.assemble(tree, held)) == config


def test_another_kind_starts_from_its_own_defaults():
    part = form.get_defaults(SCHEMA, "optimiser", "adamw")
    assert part == AdamW().model_dump(mode="json")


def test_the_command_makes_the_same_config():
    """What the page prints as `--set` gives the config that the form holds."""
    preset = PRESETS["fashion-nearest"]()
    wanted = with_overrides(preset, {"head.name": "linear", "head.bias": False, "optimiser.lr": 0.02, "epochs": 7})
    different = launch.diff_settings(wanted.model_dump(mode="json"), preset.model_dump(mode="json"))
    from backend.cli.runs import load_config

    assignments = [f"{path}={launch.format_setting(to)}" for path, (_, to) in different.items()]
    again = load_config("fashion-nearest", assignments)
    assert again == wanted
