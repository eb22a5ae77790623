"""The layers of an encoder to keep, as a validated value."""

import re
from dataclasses import dataclass
from typing import Self

from sbert_prune.errors import SelectionError

_LIST = re.compile(
    r"\s*\d{1,9}(\s*-\s*\d{1,9})?(\s*,\s*\d{1,9}(\s*-\s*\d{1,9})?)*\s*"
)  # at most nine digits, because int() refuses thousands of them


MAX_DEPTH = 1_000
"""More layers than any encoder has: a config that announces more is wrong, and would fill the memory."""


@dataclass(frozen=True, slots=True)
class LayerSelection:
    """The kept layers of an encoder.

    Attributes:
        kept: Indices in ascending order, each once; 0 is next to the embeddings.
        depth: Number of layers before pruning.

    Raises:
        SelectionError: The indices are empty, unsorted, repeated, or outside the depth; or there are too many.
    """

    kept: tuple[int, ...]
    depth: int

    def __post_init__(self) -> None:
        listed = ",".join(map(str, self.kept))
        if self.depth < 1:
            raise SelectionError(
                f"An encoder of depth {self.depth} has no layers to keep; the depth must be 1 or more."
            )
        if self.depth > MAX_DEPTH:
            raise SelectionError(
                f"An encoder of {self.depth:,} layers is not known; at most {MAX_DEPTH:,} are supported."
            )
        if not self.kept:
            raise SelectionError(f"No layer is kept. Keep at least one of the layers 0-{self.depth - 1}.")
        if outside := [index for index in self.kept if not 0 <= index < self.depth]:
            raise SelectionError(
                f"Layer {outside[0]} does not exist: the encoder has {self.depth} layers, numbered 0-{self.depth - 1}."
            )
        if list(self.kept) != sorted(set(self.kept)):
            fixed = ",".join(map(str, sorted(set(self.kept))))
            raise SelectionError(f"Layers {listed} are not in ascending order, each once. Did you mean {fixed}?")

    @classmethod
    def parse(cls, text: str, *, depth: int) -> Self:
        """Parse a list such as "0,2,4-7". Inverts str().

        A count such as "6" is no list: it is read as layer 6. Counts are for strategies (see `choose_layers`).

        Raises:
            SelectionError: The text is not a list of layers of an encoder of this depth.
        """
        if not _LIST.fullmatch(text):
            raise SelectionError(f"{text!r} is not a list of layers. Write indices and ranges, such as 0,2,4-7.")
        kept: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            if last and int(last) < int(first):
                raise SelectionError(f"The range {part.strip()} runs backwards. Did you mean {int(last)}-{int(first)}?")
            if max(int(first), int(last or first)) >= depth:
                outside = max(int(first), int(last or first))
                raise SelectionError(
                    f"Layer {outside} does not exist: the encoder has {depth} layers, numbered 0-{depth - 1}."
                )
            kept.extend(range(int(first), int(last or first) + 1))
        return cls(tuple(kept), depth)

    @classmethod
    def all(cls, depth: int) -> Self:
        """Return the selection that keeps every layer, as in the reference."""
        return cls(tuple(range(depth)), depth)

    @property
    def num_layers(self) -> int:
        """Number of kept layers."""
        return len(self.kept)

    @property
    def dropped(self) -> tuple[int, ...]:
        """The dropped layers, in ascending order."""
        return tuple(sorted(set(range(self.depth)) - set(self.kept)))

    def within(self, original: Self) -> Self:
        """Translate a selection from a pruned encoder into the indices of its original encoder.

        Args:
            original: The selection that the pruned encoder was made with.

        Raises:
            SelectionError: The depths do not fit.
        """
        if self.depth != original.num_layers:
            raise SelectionError(
                f"A selection of {self.depth} layers does not fit an encoder that kept {original.num_layers}."
            )
        return type(self)(tuple(original.kept[index] for index in self.kept), original.depth)

    def __str__(self) -> str:
        runs: list[list[int]] = []
        for index in self.kept:
            if runs and index == runs[-1][-1] + 1:
                runs[-1].append(index)
            else:
                runs.append([index])
        return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
