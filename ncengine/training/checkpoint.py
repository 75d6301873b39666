"""A checkpoint is flat tensors by name and a little JSON, and enough to continue bit for bit on the CPU.

It holds network, head (all of its state is in buffers), optimisers, the scaler of float16, torch's random states, the
position in the epoch, the losses not yet reported, and the last frame and picture; the config and the format's
version say what it is of. Batch orders and random crops need no state: they are functions of (seed, epoch, step).

As a file it is safetensors, never pickle, with the hash of its contents (`array_file`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ncengine.config import RunConfig
from ncengine.events import CheckpointSaved
from ncengine.files import array_file, atomic_write
from ncengine.files.array_file import CorruptFileError

if TYPE_CHECKING:
    from ncengine.training.trainer import Trainer

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
    plain: dict[str, Any] = {}
    group_steps = []
    for number, optimiser in enumerate(trainer.optimisers):
        # geoopt's SGD counts its steps in the group.
        group_steps.append([group.get("step") for group in optimiser.param_groups])
        for index, slots in optimiser.state_dict()["state"].items():
            for name, value in slots.items():
                # A number that is no tensor stays one: 0.9 to a float32 step count is another power.
                place = tensors if isinstance(value, Tensor) else plain
                place[f"optimiser/{number}/{index}/{name}"] = value
    tensors["loss"] = trainer.loss_sum
    if trainer.frame_DR is not None:
        tensors["frame"] = trainer.frame_DR
    if trainer.pca is not None:
        tensors["pca"] = torch.from_numpy(trainer.pca)
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
            "plain": plain,
            "group_steps": group_steps,
            "transposed": [name for name, value in tensors.items() if _is_transposed(value)],
            "scaler": trainer.scaler.state_dict(),
            "terminal_phase": trainer.terminal_phase,
            "frame_epoch": trainer.frame_epoch,
        },
    )


def _is_transposed(value: Tensor) -> bool:
    return value.ndim == 2 and not value.is_contiguous() and value.T.is_contiguous()


def require_same_config(saved: CheckpointSaved, config: RunConfig) -> None:
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
    require_same_config(saved, trainer.config)
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}, "optimiser": {}}
    transposed = set(saved.state["transposed"])
    for name, array in saved.tensors.items():
        kind, _, rest = name.partition("/")
        if rest:
            # The order in memory decides the order in which products add up, and so their last bits.
            parts[kind][rest] = torch.tensor(array.T).T if name in transposed else torch.tensor(array)
    trainer.backbone.load_state_dict(parts["backbone"])
    trainer.head.load_state_dict(parts["head"])
    for number, optimiser in enumerate(trainer.optimisers):
        slots: dict[int, dict[str, Any]] = {}
        plain = {name.partition("/")[2]: value for name, value in saved.state["plain"].items()}
        for name, value in (parts["optimiser"] | plain).items():
            owner, index, slot = name.split("/", 2)
            if int(owner) == number:
                slots.setdefault(int(index), {})[slot] = value
        groups = optimiser.state_dict()["param_groups"]
        for group, taken in zip(groups, saved.state["group_steps"][number], strict=True):
            group |= {} if taken is None else {"step": taken}
        optimiser.load_state_dict({"state": slots, "param_groups": groups})
        # torch's Adam, from which geoopt's inherits, makes a tensor of a step count that was none.
        for held, given in zip(optimiser.state.values(), slots.values(), strict=True):
            held.update({slot: value for slot, value in given.items() if not isinstance(value, Tensor)})
    if trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(saved.state["scaler"])
    if "frame" in saved.tensors:
        frame = saved.tensors["frame"]
        trainer.frame_DR = torch.tensor(frame.T).T if "frame" in transposed else torch.tensor(frame)
    if "pca" in saved.tensors:
        trainer.pca = np.array(saved.tensors["pca"])
    trainer.frame_epoch = saved.state.get("frame_epoch", 0)
    trainer.loss_sum = torch.tensor(saved.tensors["loss"], device=trainer.device)
    trainer.loss_steps = saved.state["loss_steps"]
    torch.set_rng_state(torch.tensor(saved.tensors["random"]))
    if "random-cuda" in saved.tensors and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(torch.tensor(saved.tensors["random-cuda"]), trainer.device)
    trainer.step = saved.state["step"]
    trainer.terminal_phase = saved.state["terminal_phase"]


def save_checkpoint(saved: CheckpointSaved, folder: Path) -> Path:
    """Write a checkpoint into `folder` and return its file; of those of earlier steps there, one generation is kept.

    The file is written aside, synced and renamed, so that a crash leaves whole files only. Files of later steps, such
    as those of another run in the same folder, are left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{saved.step:09d}{SUFFIX}"
    atomic_write.write_atomically(path, array_file.encode(saved.tensors, saved.state))
    until_now = sorted(each for each in folder.glob(f"checkpoint-*{SUFFIX}") if each.name <= path.name)
    for old in until_now[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> CheckpointSaved:
    """Return the checkpoint of a file, or the newest whole one of a folder.

    Raises FileNotFoundError if there is none, and `array_file.CorruptFileError`, a ValueError, if a file is cut short,
    was changed, or is not a checkpoint.
    """
    if path.is_file():
        tensors, state = array_file.decode(path.read_bytes(), str(path))
        if "step" not in state:
            raise CorruptFileError(f"{path} is a file of arrays, but no checkpoint")
        return CheckpointSaved(epoch=state["epoch"], step=state["step"], tensors=tensors, state=state)
    failure: CorruptFileError | None = None
    for file in sorted(path.glob(f"checkpoint-*{SUFFIX}"), reverse=True):
        try:
            return load_checkpoint(file)
        except CorruptFileError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    raise FileNotFoundError(f"there is no checkpoint in {path}")
