"""Hooks that receive the input and output of each layer while a sentence model runs."""

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


class LayerHook(Protocol):
    """A function that is called after each layer ran."""

    def __call__(self, index: int, layer_input: torch.Tensor, layer_output: torch.Tensor, /) -> None:
        """Process the input and output of layer `index`. They are not kept afterwards.

        *Shapes:* (batch, tokens, dim) each
        """
        ...


@contextmanager
def layer_hook(encoder: PreTrainedModel, hook: LayerHook) -> Iterator[None]:
    """Call the hook with every layer's input and output inside the block."""
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for index, layer in enumerate(layers_of(encoder)):
            handles.append(layer.register_forward_hook(partial(_call, hook, index), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _call(
    hook: LayerHook, index: int, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> None:
    layer_input = args[0] if args else kwargs["hidden_states"]
    hook(index, layer_input, output[0] if isinstance(output, tuple) else output)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run the block in evaluation mode without gradients, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
