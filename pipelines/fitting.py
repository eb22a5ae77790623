"""A look at how the tokenizer fits the texts, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from pipelines.console import say
from sbert_prune.errors import EncoderError
from sbert_prune.vocabulary.fit import TextFit, measure_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from sbert_prune.models.saved_model import SavedModel
    from sbert_prune.tracking.runs import Run


def tokenizer_of(model: SavedModel) -> PreTrainedTokenizerBase:
    """The tokenizer of a saved model. Raises EncoderError for one that cannot be read."""
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(model.folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"{model.uri}: its tokenizer cannot be read ({reason}). Fetch its files again.") from error
    return found


def look_at_fit(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> TextFit:
    """Say how the tokenizer cuts the texts, and warn where it does not fit them."""
    fit = measure_fit(tokenizer, texts, max_length)
    say(f"tokenizer: {fit.line()}", *(f"warning: {warning}" for warning in fit.warnings()))
    return fit


def log_fit(run: Run, fit: TextFit) -> None:
    """Leave in the record what was said."""
    measured = asdict(fit)
    run.log_metrics(
        {f"text/{key}": measured[key] for key in ("unknown_rate", "pieces_per_word", "lost_marks", "truncated", "needed_length")}
    )
    run.set_tags({"script": fit.script})
    if warnings := fit.warnings():
        run.log_text("\n".join(warnings), "warnings.txt")
