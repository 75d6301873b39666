"""The trained model: backbone and head, with the run's precision and memory order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ncengine.config import Agd, RunConfig
from ncengine.training.optim import remove_biases_and_scales

AUTOCAST_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Model(nn.Module):
    """A backbone and a head on one device, initialised from the config's seed."""

    def __init__(self, config: RunConfig, device: torch.device, train_size: int) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.device, self._precision, self._channels_last = device, config.precision, config.channels_last
        backbone = config.backbone.build(config.dataset_info.shape, train_size)
        if isinstance(config.optimiser, Agd):
            remove_biases_and_scales(backbone)
        self.backbone = backbone.to(device)
        if config.channels_last:
            # On the CPU convolutions take two thirds of the time in training, and a quarter in evaluation.
            self.backbone.to(memory_format=torch.channels_last)
        self.head = config.head.build(config.backbone.features, config.classes, config.seed).to(device)

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the run's precision."""
        dtype = AUTOCAST_DTYPES.get(self._precision)
        return torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    def in_memory_order(self, samples: Tensor) -> Tensor:
        """Return samples in the memory order of the backbone's weights."""
        return samples if self._channels_last or samples.ndim != 4 else samples.contiguous()

    def penultimate(self, samples: Tensor) -> Tensor:
        """Return the penultimate features (B, d), as the classifier uses them, in float32 or better."""
        with self.autocast():
            raw_BD = self.backbone(self.in_memory_order(samples))
        features_BD: Tensor = self.head.penultimate(raw_BD.float())
        return features_BD

    def divergence_error(
        self, config: RunConfig, step: int, samples: Tensor | None = None, otherwise: str = "the logits"
    ) -> FloatingPointError:
        """Return the error of a diverged training: names the first tensor that is not finite, and a remedy.

        `samples` is the batch, if it is known; `otherwise` is named if samples, parameters and buffers are all finite.
        """
        tensors: list[tuple[str, Tensor]] = [] if samples is None else [("the batch's samples", samples)]
        tensors += [(f"backbone.{name}", value) for name, value in self.backbone.state_dict().items()]
        tensors += [(f"head.{name}", value) for name, value in self.head.state_dict().items()]
        bad = next((n for n, t in tensors if t.is_floating_point() and not bool(torch.isfinite(t).all())), otherwise)
        rate = getattr(config.optimiser, "lr", None)
        remedy = "lower optimiser.gain" if rate is None else f"lower optimiser.lr (now {rate:g})"
        return FloatingPointError(
            f"training diverged at step {step}: {bad} is the first tensor that is not finite; {remedy} or "
            "set optimiser.clip_norm; the newest checkpoint is kept"
        )
