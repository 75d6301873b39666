"""Forward hooks that capture the outputs of hidden layers, batch by batch.

Images are averaged over positions and sequences over tokens, as is usual for per-layer collapse (He, Su 2023; Rangamani
et al. 2023), so that a layer of C channels gives features (B, C).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def require_layers(
    network: nn.Module, names: Sequence[str], what: str = "measure.layers must be modules of the backbone"
) -> None:
    """Raise ValueError if a name is not a module of the network; `what` begins the message."""
    known = [name for name, _ in network.named_modules() if name]
    wrong = [name for name in names if name not in known]
    if wrong:
        shown = ", ".join(known[:40]) + (" …" if len(known) > 40 else "")
        raise ValueError(f"{what}, {wrong[0]!r} is none; it has {shown or 'none'}")


@contextlib.contextmanager
def capture_outputs(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that contains, after each forward pass, the features (B, C) of the named layers."""
    outputs: dict[str, Tensor] = {}
    modules = dict(network.named_modules())

    def register(name: str) -> RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < 2:
                raise ValueError(
                    f"measured layers: {name} gives no tensor of samples; choose a layer inside or around it"
                )
            outputs[name] = pool_output(output)

        handle: RemovableHandle = modules[name].register_forward_hook(hook)
        return handle

    with contextlib.ExitStack() as stack:
        for name in names:
            stack.callback(register(name).remove)
        yield outputs


def pool_output(output: Tensor) -> Tensor:
    """Return features (B, C) of an output (B, C), (B, tokens, C) or (B, C, H, W), in float32 or better."""
    features = output.flatten(2).mean(2) if output.ndim > 3 else output.mean(1) if output.ndim == 3 else output
    return features.float()
