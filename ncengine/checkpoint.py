"""A checkpoint is flat tensors by name and a little JSON: network, head, optimiser, random state, last frame.

Tensors go into safetensors files, never pickle. What a checkpoint holds is enough to continue bit for bit on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ncengine.events import CheckpointSaved

if TYPE_CHECKING:
    from ncengine.train import Trainer


def save(trainer: Trainer, epoch: int) -> CheckpointSaved:
    """Return the checkpoint of a trainer at the end of `epoch`; its arrays are copies."""
    tensors: dict[str, Tensor] = {"random": torch.get_rng_state()}
    tensors |= {f"backbone/{name}": value for name, value in trainer.backbone.state_dict().items()}
    tensors |= {f"head/{name}": value for name, value in trainer.head.state_dict().items()}
    for index, slots in trainer.optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser/{index}/{name}": torch.as_tensor(value) for name, value in slots.items() if value is not None
        }
    if trainer.frame_DR is not None:
        tensors["frame"] = trainer.frame_DR
    return CheckpointSaved(
        epoch=epoch,
        step=trainer.step,
        tensors={name: value.detach().cpu().clone().numpy() for name, value in tensors.items()},
        state={
            "config_hash": trainer.config.hash(),
            "epoch": epoch,
            "step": trainer.step,
            "terminal_phase": trainer.terminal_phase,
        },
    )


def restore(trainer: Trainer, saved: CheckpointSaved) -> None:
    """Put a trainer into the state of `saved`; raises ValueError where that is of another config."""
    if saved.state["config_hash"] != trainer.config.hash():
        raise ValueError(
            "the checkpoint was made by another config; resume with the run's own config, or start a new run"
        )
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}, "optimiser": {}}
    for name, array in saved.tensors.items():
        kind, _, rest = name.partition("/")
        if rest:
            parts[kind][rest] = torch.tensor(array)
    trainer.backbone.load_state_dict(parts["backbone"])
    trainer.head.load_state_dict(parts["head"])
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in parts["optimiser"].items():
        index, _, slot = name.partition("/")
        slots.setdefault(int(index), {})[slot] = tensor
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": slots, "param_groups": groups})
    if "frame" in saved.tensors:
        trainer.frame_DR = torch.tensor(saved.tensors["frame"])
    torch.set_rng_state(torch.tensor(saved.tensors["random"]))
    trainer.step = saved.state["step"]
    trainer.terminal_phase = saved.state["terminal_phase"]
