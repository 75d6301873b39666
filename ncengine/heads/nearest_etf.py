"""The classifier of *Guiding Neural Collapse*: at every step the simplex ETF nearest to the running class means.

    R_t = nearest_etf(H_t, R_{t−1}),   W = √(K/(K−1)) V R_tᵀ,   b = −W μ_G,   logits h Wᵀ + b

(Markou, Ajanthan, Gould, NeurIPS 2024, eq. 6–9.) Gradient reaches the features by two paths: through the logits, and
through W and b by R*(H̃); `implicit_gradient=False` cuts the second. Evaluation uses W from the running class means and
b from the running global mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncengine.geometry.class_means import Averaging, averaging_weight, batch_class_means
from ncengine.geometry.nearest import Solver, etf_weights, first_frame, nearest_etf
from ncengine.heads.base import Head, affine, require_etf_room, running_mean


class NearestETFHead(Head):
    """Sets the classifier to the ETF nearest to the class means and differentiates through that choice.

    All state is in buffers: `means` (d, K) running centred class means, `seen` (K) classes met so far, `global_mean`
    (d), `frame` (d, K−1) the last solution, `step` the count t. They travel with checkpoints and `.to(device)`.
    """

    means: Tensor
    seen: Tensor
    global_mean: Tensor
    frame: Tensor
    step: Tensor

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        temperature: float = 5.0,
        normalise: bool = True,
        delta: float = 1e-3,
        averaging: Averaging = "ema-decay",
        half_life_steps: float = 100.0,
        implicit_gradient: bool = True,
        solver: Solver = "polar",
    ) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        require_etf_room(features, classes)
        averaging_weight(1, averaging, half_life_steps)  # an unknown name fails here, not at the first step
        self.delta, self.solver = delta, solver
        self.averaging, self.half_life_steps = averaging, half_life_steps
        self.implicit_gradient = implicit_gradient
        self.register_buffer("means", torch.zeros(features, classes))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("global_mean", torch.zeros(features))
        self.register_buffer("frame", first_frame(features, classes, like=torch.empty(0)))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        # The count on the host, so that α_t needs no copy from the device; read back once after a checkpoint is loaded.
        self._host_step: int | None = 0
        self.register_load_state_dict_post_hook(_forget_host_step)  # type: ignore[no-untyped-call]

    @property
    def weight(self) -> Tensor:
        """W = √(K/(K−1)) V Rᵀ (K, d) of the last solution."""
        return etf_weights(self.frame)

    @property
    def bias(self) -> Tensor:
        """b = −W μ_G (K) with the running global mean."""
        return -self.weight @ self.global_mean

    def forward(self, features_BD: Tensor, labels_B: Tensor | None = None) -> Tensor:
        """Return logits (B, K); in training the class means and the frame take the batch in first."""
        if not self.training:
            return affine(self.penultimate(features_BD), self.weight, self.bias)
        labels_B = self.require_labels(features_BD, labels_B)
        with torch.autocast(features_BD.device.type, enabled=False):
            h_BD = self.penultimate(features_BD.to(torch.promote_types(features_BD.dtype, torch.float32)))
            frame_DR, mean_D = self._advance(h_BD, labels_B)
            weight_KD = etf_weights(frame_DR)
            # h Wᵀ + b with b = −W μ_G is (h − μ_G) Wᵀ: the same numbers without the cancellation.
            return affine(h_BD - mean_D, weight_KD, None)

    def _advance(self, h_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Take a batch into the running means; return the frame (d, K−1) and the batch's global mean (d)."""
        if self._host_step is None:
            self._host_step = int(self.step)
        self._host_step += 1
        alpha = averaging_weight(self._host_step, self.averaging, self.half_life_steps)
        source = h_BD if self.implicit_gradient else h_BD.detach()
        batch_DK, mean_D, present_K = batch_class_means(source, labels_B, self.classes)
        mixed_DK = alpha * batch_DK + (1 - alpha) * self.means
        first_K = present_K & ~self.seen
        means_DK = torch.where(first_K, batch_DK, torch.where(present_K, mixed_DK, self.means))
        had_frame = self._host_step > 1
        frame_DR = nearest_etf(means_DK, self.frame if had_frame else None, delta=self.delta, solver=self.solver)
        with torch.no_grad():
            self.step += 1
            self.means.copy_(means_DK)
            self.seen |= present_K
            self.frame.copy_(frame_DR)
            running_mean(self.global_mean, mean_D, torch.as_tensor(alpha, device=h_BD.device))
        return frame_DR, mean_D


def _forget_host_step(head: torch.nn.Module, _incompatible: object) -> None:
    if isinstance(head, NearestETFHead):
        head._host_step = None
