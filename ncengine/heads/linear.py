"""The learned linear classifier.

Features are normalised by default, as in the other heads, so that a comparison changes the classifier alone; with
`normalise=False` this is the ordinary last layer of a network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ncengine.heads.base import Head, affine


class LinearHead(Head):
    """Logits h Wᵀ + b with learned W (K, d) and, with `bias`, learned b (K).

    With `renormalise`, `after_step` scales W's rows to length one, as the released code does after every step.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        temperature: float = 5.0,
        normalise: bool = True,
        bias: bool = True,
        renormalise: bool = False,
    ) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        self.layer = nn.Linear(features, classes, bias=bias)
        self.renormalise = renormalise
        self.after_step()

    @property
    def weight(self) -> Tensor:
        """W (K, d), learned."""
        return self.layer.weight

    @property
    def bias(self) -> Tensor | None:
        """b (K), learned, or None."""
        return self.layer.bias

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale the rows of W to length one, with `renormalise`."""
        if self.renormalise:
            self.layer.weight.copy_(nn.functional.normalize(self.layer.weight, dim=1))

    def forward(self, features_BD: Tensor, labels_B: Tensor | None = None) -> Tensor:
        """Return logits (B, K); labels are not used."""
        return affine(self.penultimate(features_BD), self.weight, self.bias)
