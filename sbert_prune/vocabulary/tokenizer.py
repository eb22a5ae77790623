"""A Transformers tokenizer with fewer pieces, as it will be when it was saved and loaded.

Classes such as BertTokenizer or XLMRobertaTokenizer build their parts anew when they are loaded, by settings and defaults of their own.
So each trimmed tokenizer is written and read once: first as the class it was, then, if that does not come back as it should, as
Transformers' plain class, which takes tokenizer.json as it stands. The class matters for Unigram scores too: `tokenizers` reads one in
eight wrong by its last binary digit, which can swap pieces of equal score, while those classes let Python read them.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sbert_prune.errors import EncoderError
from sbert_prune.vocabulary.tokenizer_json import differing_parts, rewrite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedConfig

_PLAIN = PreTrainedTokenizerFast.__name__

_NOT_SETTINGS = {
    *("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object", "special_tokens_map_file", "files_loaded"),
    *("added_tokens_decoder", "additional_special_tokens", "add_bos_token", "add_eos_token", "post_processor", "unk_id"),
    *("name_or_path", "is_local", "local_files_only", "backend", "auto_map", "_commit_hash"),
}
"""What a tokenizer was made with, but tokenizer.json holds, or only its old place explains."""

_CURRENT = (
    *("model_max_length", "padding_side", "truncation_side", "model_input_names"),
    *("clean_up_tokenization_spaces", "split_special_tokens"),
)
"""Settings that may have been changed since the tokenizer was made."""


def tokenizer_json(tokenizer: Any) -> dict[str, Any]:
    """The parsed tokenizer.json of a Transformers tokenizer. Raises EncoderError for one that is not backed by `tokenizers`."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EncoderError(
            f"The tokenizer is a {type(tokenizer).__name__}, without a fast backend, so its vocabulary cannot be trimmed. "
            "Give a base with a tokenizer.json, or take vocabulary=all."
        )
    parsed: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return parsed


def bare_tokenizer(parsed: dict[str, Any]) -> Tokenizer:
    """A tokenizer that neither truncates nor pads."""
    return Tokenizer.from_str(json.dumps({**parsed, "truncation": None, "padding": None}))


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, new_ids: Mapping[int, int], config: PreTrainedConfig) -> PreTrainedTokenizerFast:
    """A copy that knows only the pieces in `new_ids` (old id to new), with all other settings as they are.

    config: the encoder's; Transformers chooses a tokenizer's class by it.
    Raises EncoderError for a tokenizer that does not come back from a folder as it was written.
    """
    wanted = rewrite(tokenizer_json(tokenizer), new_ids)
    differing: list[str] = []
    for name in dict.fromkeys((type(tokenizer).__name__, _PLAIN)):
        if name == _PLAIN:
            wanted["model"] = json.loads(Tokenizer.from_str(json.dumps(wanted)).to_str())["model"]  # scores as this class will read them
        found = _written_and_read(tokenizer, wanted, config, name)
        differing = differing_parts(wanted, tokenizer_json(found))
        if not differing:
            return found
    raise EncoderError(
        f"The trimmed {type(tokenizer).__name__} does not come back from its folder as it was: {', '.join(differing)} differ. "
        "Its ids may have gaps, or lie out of order; take vocabulary=all, or another base."
    )


def _written_and_read(
    tokenizer: PreTrainedTokenizerFast, wanted: dict[str, Any], config: PreTrainedConfig, class_name: str
) -> PreTrainedTokenizerFast:
    build: Any = PreTrainedTokenizerFast  # it carries no annotations
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build(tokenizer_object=Tokenizer.from_str(json.dumps(wanted)), **_settings(tokenizer)).save_pretrained(folder)
        (folder / "tokenizer.json").write_text(json.dumps(wanted), encoding="utf-8")
        settings = folder / "tokenizer_config.json"
        settings.write_text(json.dumps({**json.loads(settings.read_bytes()), "tokenizer_class": class_name}), encoding="utf-8")
        config.save_pretrained(folder)
        found = cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder, local_files_only=True))
    found.name_or_path = tokenizer.name_or_path
    return found


def _settings(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    settings = {key: deepcopy(value) for key, value in tokenizer.init_kwargs.items() if key not in _NOT_SETTINGS}
    settings |= {name: getattr(tokenizer, name) for name in _CURRENT}
    settings |= {name: token for name, token in tokenizer._special_tokens_map.items() if token is not None}
    if tokenizer.extra_special_tokens:
        settings["extra_special_tokens"] = list(tokenizer.extra_special_tokens)
    if tokenizer.chat_template is not None:
        settings["chat_template"] = tokenizer.chat_template
    return settings
