"""A checkpoint is flat tensors by name and a little JSON, and enough to continue bit for bit on the CPU.

It holds network, head (all of its state is in buffers), optimisers, the scaler of float16, torch's random states, the
position in the epoch, the losses not yet reported, and the last measured frame; the config and the format's version say
what it is of. Batch orders and random crops need no state: they are functions of (seed, epoch, step).

As a file it is safetensors, never pickle, with the hash of its contents (`array_file`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ncengine import array_file
from ncengine.array_file import Damaged
from ncengine.config import RunConfig
from ncengine.events import CheckpointSaved

if TYPE_CHECKING:
    from ncengine.train import Trainer

FORMAT = 2
"""Raised whenever an older program could not continue from a newer checkpoint."""
KEPT = 2
"""Generations in a folder: a damaged newest one leaves the one before."""
SUFFIX = ".safetensors"


def save(trainer: Trainer) -> CheckpointSaved:
    """Return the checkpoint of a trainer as it stands, in copies; raises FloatingPointError where it diverged."""
    trainer.require_finite()
    tensors: dict[str, Tensor] = {"random": torch.get_rng_state()}
    if trainer.device.type == "cuda":
        tensors["random-cuda"] = torch.cuda.get_rng_state(trainer.device)
    tensors |= {f"backbone/{name}": value for name, value in trainer.backbone.state_dict().items()}
    tensors |= {f"head/{name}": value for name, value in trainer.head.state_dict().items()}
    steps_taken: list[list[Any]] = []
    for number, optimiser in enumerate(trainer.optimisers):
        state = optimiser.state_dict()
        for index, slots in state["state"].items():
            for name, value in slots.items():
                if value is not None:
                    tensors[f"optimiser/{number}/{index}/{name}"] = torch.as_tensor(value)
        # geoopt counts its steps in the group, where torch has none of its own.
        steps_taken.append([group.get("step") for group in state["param_groups"]])
    tensors["loss"] = trainer.loss_sum
    if trainer.frame_DR is not None:
        tensors["frame"] = trainer.frame_DR
    return CheckpointSaved(
        epoch=trainer.epoch,
        step=trainer.step,
        tensors={name: value.detach().cpu().clone().numpy() for name, value in tensors.items()},
        state={
            "format": FORMAT,
            "config": trainer.config.model_dump(mode="json"),
            "epoch": trainer.epoch,
            "step": trainer.step,
            "loss_steps": trainer.loss_steps,
            "optimiser_steps": steps_taken,
            "scaler": trainer.scaler.state_dict(),
            "terminal_phase": trainer.terminal_phase,
        },
    )


def require_fitting(saved: CheckpointSaved, config: RunConfig) -> None:
    """Raise ValueError where a checkpoint is of another format or of another config; the device may differ."""
    version = saved.state.get("format", 1)
    if version > FORMAT:
        raise ValueError(
            f"the checkpoint has format {version}, made by a newer version of this program, which reads up to "
            f"{FORMAT}; update it, then resume"
        )
    if version < FORMAT:
        raise ValueError(
            f"the checkpoint has format {version}, made by an older version that kept less than resuming needs; "
            "launch the run anew"
        )
    theirs, ours = _flat(saved.state["config"]), _flat(config.model_dump(mode="json"))
    # A setting that was not there when the checkpoint was made had what is now its default.
    defaults = _flat(type(config).model_validate(saved.state["config"]).model_dump(mode="json"))
    differing = [name for name in sorted(ours) if name != "device" and defaults.get(name) != ours[name]]
    if differing:
        shown = "; ".join(f"{name} {theirs.get(name, 'absent')} → {ours[name]}" for name in differing[:5])
        raise ValueError(
            f"the checkpoint was made by another config ({shown}); resume with the run's own config, or start a new run"
        )


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": json.dumps(item) for inner, item in value.items()}
        else:
            found[name] = json.dumps(value)
    return found


def restore(trainer: Trainer, saved: CheckpointSaved) -> None:
    """Put a trainer into the state of `saved`; raises ValueError where that is of another config or format."""
    require_fitting(saved, trainer.config)
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}, "optimiser": {}}
    for name, array in saved.tensors.items():
        kind, _, rest = name.partition("/")
        if rest:
            parts[kind][rest] = torch.tensor(array)
    trainer.backbone.load_state_dict(parts["backbone"])
    trainer.head.load_state_dict(parts["head"])
    for number, optimiser in enumerate(trainer.optimisers):
        slots: dict[int, dict[str, Any]] = {}
        for name, tensor in parts["optimiser"].items():
            owner, index, slot = name.split("/", 2)
            if int(owner) == number:
                slots.setdefault(int(index), {})[slot] = tensor
        groups = optimiser.state_dict()["param_groups"]
        for group, taken in zip(groups, saved.state["optimiser_steps"][number], strict=True):
            if taken is not None:
                group["step"] = taken
        optimiser.load_state_dict({"state": slots, "param_groups": groups})
    if trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(saved.state["scaler"])
    if "frame" in saved.tensors:
        trainer.frame_DR = torch.tensor(saved.tensors["frame"])
    trainer.loss_sum = torch.tensor(saved.tensors["loss"], device=trainer.device)
    trainer.loss_steps = saved.state["loss_steps"]
    torch.set_rng_state(torch.tensor(saved.tensors["random"]))
    if "random-cuda" in saved.tensors and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(torch.tensor(saved.tensors["random-cuda"]), trainer.device)
    trainer.step = saved.state["step"]
    trainer.terminal_phase = saved.state["terminal_phase"]


def save_checkpoint(saved: CheckpointSaved, folder: Path) -> Path:
    """Write a checkpoint into `folder` and return its file; of older ones there, one generation is kept.

    The file is written aside, synced and renamed, so that a crash leaves whole files only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{saved.step:09d}{SUFFIX}"
    array_file.write(path, array_file.encode(saved.tensors, saved.state))
    for old in sorted(folder.glob(f"checkpoint-*{SUFFIX}"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> CheckpointSaved:
    """Return the checkpoint of a file, or the newest whole one of a folder.

    Raises FileNotFoundError where there is none, and `array_file.Damaged`, a ValueError, where a file is cut short, was
    changed, or is no checkpoint.
    """
    if not path.is_dir():
        tensors, state = array_file.decode(path.read_bytes(), str(path))
        if "step" not in state:
            raise Damaged(f"{path} is a file of arrays, but no checkpoint")
        return CheckpointSaved(epoch=state["epoch"], step=state["step"], tensors=tensors, state=state)
    failure: Damaged | None = None
    for file in sorted(path.glob(f"checkpoint-*{SUFFIX}"), reverse=True):
        try:
            return load_checkpoint(file)
        except Damaged as error:
            failure = failure or error
    if failure is not None:
        raise failure
    raise FileNotFoundError(f"there is no checkpoint in {path}")
