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
    """Return a checkpoint of a trainer, in copies; raises FloatingPointError if the training diverged."""
    trainer.require_finite()
    state = trainer.state_dict()
    evaluator = state["evaluator"]
    tensors: dict[str, Tensor] = {"random": state["random"]}
    if state["random-cuda"] is not None:
        tensors["random-cuda"] = state["random-cuda"]
    tensors |= {f"backbone/{name}": value for name, value in state["backbone"].items()}
    tensors |= {f"head/{name}": value for name, value in state["head"].items()}
    numbers: dict[str, Any] = {}
    for number, optimiser in enumerate(state["optimisers"]):
        for index, slots in optimiser["slots"].items():
            for name, value in slots.items():
                # Numbers are not stored as tensors: 0.9 to a float32 step count is another power.
                target = tensors if isinstance(value, Tensor) else numbers
                target[f"optimiser/{number}/{index}/{name}"] = value
    tensors["loss"] = state["loss"]
    tensors |= {name: evaluator[name] for name in ("frame", "pca") if evaluator[name] is not None}
    return CheckpointSaved(
        epoch=trainer.epoch,
        step=trainer.step,
        tensors={name: value.detach().cpu().clone().numpy() for name, value in tensors.items()},
        state={
            "format": FORMAT,
            "config": trainer.config.model_dump(mode="json"),
            "epoch": trainer.epoch,
            "step": trainer.step,
            "loss_steps": state["loss_steps"],
            "plain": numbers,
            "group_steps": [optimiser["group_steps"] for optimiser in state["optimisers"]],
            "transposed": [name for name, value in tensors.items() if _is_transposed(value)],
            "scaler": state["scaler"],
            "terminal_phase": evaluator["terminal_phase"],
            "frame_epoch": evaluator["frame_epoch"],
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
    """Restore a trainer's state from a checkpoint; raises ValueError if that is of another config or format."""
    require_same_config(saved, trainer.config)
    transposed = set(saved.state["transposed"])
    # The memory order decides the order in which products are summed, and so their last bits.
    tensors = {
        name: torch.tensor(array.T).T if name in transposed else torch.tensor(array)
        for name, array in saved.tensors.items()
    }
    modules: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}}
    optimisers: list[dict[str, Any]] = [{"slots": {}, "group_steps": steps} for steps in saved.state["group_steps"]]
    for name, value in (tensors | saved.state["plain"]).items():
        kind, _, rest = name.partition("/")
        if kind == "optimiser":
            number, index, slot = rest.split("/", 2)
            optimisers[int(number)]["slots"].setdefault(int(index), {})[slot] = value
        elif rest:
            modules[kind][rest] = value
    trainer.load_state_dict(
        {
            "step": saved.state["step"],
            "loss": tensors["loss"],
            "loss_steps": saved.state["loss_steps"],
            **modules,
            "optimisers": optimisers,
            "scaler": saved.state["scaler"],
            "random": tensors["random"],
            "random-cuda": tensors.get("random-cuda"),
            "evaluator": {
                "frame": tensors.get("frame"),
                "frame_epoch": saved.state.get("frame_epoch", 0),
                "pca": tensors.get("pca"),
                "terminal_phase": saved.state["terminal_phase"],
            },
        }
    )


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
