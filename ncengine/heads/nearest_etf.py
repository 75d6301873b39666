"""The classifier of *Guiding Neural Collapse*: at every step the simplex ETF nearest to the running class means.

    R_t = nearest_etf(H_t, R_{t−1}),   W = √(K/(K−1)) V R_tᵀ,   b = −W μ_G,   logits h Wᵀ + b

(Markou, Ajanthan, Gould, NeurIPS 2024, eq. 6–9.) The gradient reaches the features by two paths: through the logits,
and through W and b by R*(H̃); `implicit_gradient=False` removes the second. Evaluation uses W from the running class
means and b from the running global mean.
"""

from __future__ import annotations

import contextlib
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from ncengine.distributed import all_reduce_sum
from ncengine.geometry.class_means import Averaging, averaging_weight, batch_shares
from ncengine.geometry.nearest_etf import (
    DeltaMode,
    Rotation,
    Solver,
    effective_delta,
    etf_weights,
    load_solution,
    nearest_etf_vjp,
    require_solver,
    rotated_frame,
    save_solution,
    solve,
)
from ncengine.geometry.simplex import constant, simplex_etf
from ncengine.geometry.sphere import sphere_vjp, to_sphere
from ncengine.heads.base import Head, affine, require_etf_dimension

FirstFrame = Literal["solved", "canonical", "haar"]


class NearestETFHead(Head):
    """A classifier with the simplex ETF nearest to the running class means, differentiated through that choice.

    `delta_mode`: δ is used as it is or relative to the data term (`nearest_etf.effective_delta`).
    `first_frame`: with `solved` the first step has no proximal term, with `canonical` or `haar` it is that frame.

    All state is in buffers: `means` (d, K) running centred class means, `seen` (K) 1 for each class that has had
    samples, `global_mean` (d), `frame` (d, K−1) the last solution, `step` the count t.
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
        delta_mode: DeltaMode = "fixed",
        averaging: Averaging = "ema-decay",
        half_life_steps: float = 100.0,
        implicit_gradient: bool = True,
        first_frame: FirstFrame = "solved",
        solver: Solver = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        require_etf_dimension(features, classes)
        averaging_weight(1, averaging, half_life_steps)  # raises for an unknown name
        if first_frame not in ("solved", "canonical", "haar"):
            raise ValueError(f"first_frame must be 'solved', 'canonical' or 'haar', got {first_frame!r}")
        if delta < 0:
            raise ValueError(f"delta must be >= 0, got {delta}")
        require_solver(solver)
        self.delta, self.solver = effective_delta(delta, delta_mode, classes), solver
        self.first_delta = 0.0 if first_frame == "solved" else self.delta
        start: Rotation = "haar" if first_frame == "haar" else "canonical"
        self.averaging, self.half_life_steps = averaging, half_life_steps
        self.implicit_gradient = implicit_gradient
        self.register_buffer("means", torch.zeros(classes, features).mT)
        self.register_buffer("seen", torch.zeros(classes))
        self.register_buffer("global_mean", torch.zeros(features))
        self.register_buffer("frame", rotated_frame(features, classes, start, seed))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        # The count on the host, so that α_t needs no copy from the device; read once after a checkpoint is loaded.
        self._host_step = _HostStep()
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
        """Return logits (B, K); in training the class means and the frame are updated first.

        A training step is computed in the head's own precision, float32 or better.
        """
        if not self.training:
            return affine(self.penultimate(features_BD), self.weight, self.bias)
        labels_B = self.require_labels(features_BD, labels_B)
        self.require_features(features_BD)
        step = self._host_step.next(self.step)
        alpha = averaging_weight(step, self.averaging, self.half_life_steps)
        delta = self.first_delta if step == 1 else self.delta
        with _full_precision(features_BD.device.type):
            dtype = torch.promote_types(self.means.dtype, torch.float32)
            shares_BC, present_K = batch_shares(labels_B, self.classes, dtype)
            # Per class: 1 for its first samples, α_t from then on, 0 if the batch has none of it.
            weight_K = torch.addcmul(present_K, present_K, self.seen.to(dtype), value=alpha - 1)
            radius = self.temperature if self.normalise else None
            options = StepOptions(radius, delta, self.solver, self.implicit_gradient)
            logits_BK, means_DK, mean_D, frame_DR = NearestETFLogits.apply(
                features_BD.to(dtype), shares_BC, weight_K, self.means.to(dtype), self.frame.to(dtype), options
            )
        self._host_step.count = step  # after the step: a batch that raised an error is not one
        with torch.no_grad():
            self.step.add_(1)
            self.means.copy_(means_DK)
            self.seen.clamp_(min=present_K)
            self.frame.copy_(frame_DR)
            self.global_mean.lerp_(mean_D.to(self.global_mean.dtype), alpha)
        return cast(Tensor, logits_BK)


class StepOptions(NamedTuple):
    """Options of a training step: τ (None: features are not normalised), δ, solver, implicit gradient."""

    radius: float | None
    delta: float
    solver: Solver
    implicit: bool


class NearestETFLogits(torch.autograd.Function):
    """Logits of a training step with their derivative, as one operator instead of sixty small ones.

    With h (B, D) the features f on the sphere and S (B, K+1) the weights of the batch's means:

        [H_batch | μ] = hᵀ S,   H = H_{t−1} + α (H_batch − H_{t−1}),   R = nearest ETF of H,   W = η V Rᵀ
        Z = h Wᵀ − 1 (W μ)ᵀ                                                       η = √(K/(K−1))

    and, for G = ∂/∂Z and g = Gᵀ1,

        ∂/∂h = G W + S [α ∂/∂H | ∂/∂μ]ᵀ,   ∂/∂W = Gᵀ h − g μᵀ,   ∂/∂R = η (∂/∂W)ᵀ V,   ∂/∂μ = −Wᵀ g

    with ∂/∂H from ∂/∂R by `nearest_etf_vjp`, ∂/∂f from ∂/∂h by `sphere_vjp`. Without the implicit gradient the second
    term of ∂/∂h is left out. With several processes hᵀS, Gᵀh and g are sums over all of them, so that each has the ETF
    and the gradient of the whole batch. Rows of features are contiguous throughout, so products are written for (C, D)
    operands and transposed as views.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features_BD: Tensor,
        shares_BC: Tensor,
        weight_K: Tensor,
        running_DK: Tensor,
        prox_DR: Tensor,
        options: StepOptions,
    ) -> tuple[Tensor, ...]:
        if options.radius is None:
            h_BD, scale_B1 = features_BD, features_BD.new_ones(())
        else:
            h_BD, scale_B1 = to_sphere(features_BD, options.radius)
        batch_DC = all_reduce_sum(shares_BC.mT @ h_BD).mT
        mean_D = batch_DC[:, -1]
        means_DK = running_DK.lerp(batch_DC[:, :-1], weight_K)
        solution = solve(means_DK, prox_DR, options.delta, options.solver)
        frame_DR = solution.polar.factor_DR
        weight_KD = etf_weights(frame_DR)
        logits_BK = torch.addmm(weight_KD @ mean_D, h_BD, weight_KD.mT, beta=-1)
        ctx.options = options
        save_solution(ctx, solution, h_BD, scale_B1, shares_BC, weight_K, mean_D, weight_KD)
        ctx.mark_non_differentiable(means_DK, mean_D, frame_DR)
        return logits_BK, means_DK, mean_D, frame_DR

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_BK: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        h_BD, scale_B1, shares_BC, weight_K, mean_D, weight_KD = ctx.saved_tensors[-6:]
        options: StepOptions = ctx.options
        if options.implicit:
            total_K = all_reduce_sum(upstream_BK.sum(0))
            to_weight_KD = torch.addr(all_reduce_sum(upstream_BK.mT @ h_BD), total_K, mean_D, alpha=-1)
            etf_KR = constant(simplex_etf, len(total_K), h_BD.dtype, h_BD.device)
            to_means_DK = nearest_etf_vjp(load_solution(ctx), options.delta, (etf_KR.mT @ to_weight_KD).mT) * weight_K
            to_mean_1D = (total_K @ weight_KD).neg_()[None]
            # Both terms in one product: [G | S] [W; α (∂/∂H)ᵀ; (∂/∂μ)ᵀ].
            below_ED = torch.cat([weight_KD, to_means_DK.mT, to_mean_1D])
            gradient_BD = torch.cat([upstream_BK, shares_BC], dim=1) @ below_ED
        else:
            gradient_BD = upstream_BK @ weight_KD
        if options.radius is not None:
            sphere_vjp(gradient_BD, h_BD, scale_B1, options.radius, out=gradient_BD)
        return gradient_BD, None, None, None, None, None


class _HostStep:
    """The count of steps on the host; unknown after a checkpoint is loaded, until the buffer is read."""

    def __init__(self) -> None:
        self.count: int | None = 0

    def next(self, buffer: Tensor) -> int:
        """Return the number of the next step; `buffer` holds the number of steps before it."""
        if self.count is None:
            self.count = int(buffer)
        return self.count + 1


def _forget_host_step(head: torch.nn.Module, _incompatible: object) -> None:
    if isinstance(head, NearestETFHead):
        head._host_step.count = None


def _full_precision(device_type: str) -> contextlib.AbstractContextManager[object]:
    """Return a context without autocast."""
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()
