"""What goes into each layer and comes out of it while a sentence model runs."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sbert_prune.models.architectures import layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel


class Watcher(Protocol):
    """Is shown each layer that ran. *Shapes:* (batch, tokens, dim) twice"""

    def __call__(self, index: int, given: torch.Tensor, returned: torch.Tensor) -> None:
        """Look at the layer's input and output; they are gone afterwards."""
        ...


@contextmanager
def watched(encoder: PreTrainedModel, watcher: Watcher) -> Iterator[None]:
    """Show every layer's input and output to the watcher; the hooks are taken off whatever happens."""
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for index, layer in enumerate(layers_of(encoder)):
            handles.append(layer.register_forward_hook(partial(_show, watcher, index), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _show(watcher: Watcher, index: int, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    given = args[0] if args else kwargs["hidden_states"]
    watcher(index, given, output[0] if isinstance(output, tuple) else output)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each module is in the mode that it was in, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
