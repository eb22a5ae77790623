"""A Transformers tokenizer with fewer pieces, in the form that it has after it was saved and loaded.

Classes such as BertTokenizer or XLMRobertaTokenizer rebuild their parts when they are loaded, by their own settings and
defaults. So each trimmed tokenizer is saved and loaded once: first with its own class, then, if that changes it, with
Transformers' plain class, which uses tokenizer.json unchanged. The class matters for Unigram scores too: `tokenizers`
parses one score in eight with a wrong last binary digit, which can swap pieces of equal score, while those classes let
Python parse them.
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
    *("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "tokenizer_object", "files_loaded"),
    *("special_tokens_map_file", "added_tokens_decoder", "additional_special_tokens", "post_processor", "unk_id"),
    *("add_bos_token", "add_eos_token"),
    *("name_or_path", "is_local", "local_files_only", "backend", "auto_map", "_commit_hash"),
}
"""Arguments of a tokenizer that are already in tokenizer.json, or that only apply to its old location."""

_CURRENT = (
    *("model_max_length", "padding_side", "truncation_side", "model_input_names"),
    *("clean_up_tokenization_spaces", "split_special_tokens"),
)
"""Settings that may have been changed since the tokenizer was created."""


def tokenizer_json(tokenizer: Any) -> dict[str, Any]:
    """Return the parsed tokenizer.json of a tokenizer. Raises EncoderError for one that has no fast backend."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EncoderError(
            f"The tokenizer is a {type(tokenizer).__name__}, without a fast backend, so its vocabulary cannot be "
            "trimmed. Give a base with a tokenizer.json, or take vocabulary=all."
        )
    parsed: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return parsed


def bare_tokenizer(parsed: dict[str, Any]) -> Tokenizer:
    """Return a tokenizer that neither truncates nor pads."""
    return Tokenizer.from_str(json.dumps({**parsed, "truncation": None, "padding": None}))


def trim_tokenizer(
    tokenizer: PreTrainedTokenizerFast, new_ids: Mapping[int, int], config: PreTrainedConfig
) -> PreTrainedTokenizerFast:
    """Return a copy with only some pieces and all other settings unchanged.

    Args:
        tokenizer: The tokenizer.
        new_ids: The new id of each kept piece, by the old id.
        config: The encoder's config, by which Transformers chooses the class of a tokenizer.

    Raises:
        EncoderError: The tokenizer changes when it is saved and loaded.
    """
    trimmed_json = rewrite(tokenizer_json(tokenizer), new_ids)
    differing: list[str] = []
    for name in dict.fromkeys((type(tokenizer).__name__, _PLAIN)):
        if name == _PLAIN:
            # Scores as this class will parse them.
            trimmed_json["model"] = json.loads(Tokenizer.from_str(json.dumps(trimmed_json)).to_str())["model"]
        trimmed = _save_and_load(tokenizer, trimmed_json, config, name)
        differing = differing_parts(trimmed_json, tokenizer_json(trimmed))
        if not differing:
            return trimmed
    raise EncoderError(
        f"The trimmed {type(tokenizer).__name__} changes when it is saved and loaded: {', '.join(differing)} differ. "
        "Its ids may have gaps, or be out of order; take vocabulary=all, or another base."
    )


def _save_and_load(
    tokenizer: PreTrainedTokenizerFast, trimmed_json: dict[str, Any], config: PreTrainedConfig, class_name: str
) -> PreTrainedTokenizerFast:
    build: Any = PreTrainedTokenizerFast  # has no annotations
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build(tokenizer_object=Tokenizer.from_str(json.dumps(trimmed_json)), **_settings(tokenizer)).save_pretrained(
            folder
        )
        (folder / "tokenizer.json").write_text(json.dumps(trimmed_json), encoding="utf-8")
        settings = folder / "tokenizer_config.json"
        settings.write_text(
            json.dumps({**json.loads(settings.read_bytes()), "tokenizer_class": class_name}), encoding="utf-8"
        )
        config.save_pretrained(folder)
        loaded = cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder, local_files_only=True))
    loaded.name_or_path = tokenizer.name_or_path
    return loaded


def _settings(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    settings = {key: deepcopy(value) for key, value in tokenizer.init_kwargs.items() if key not in _NOT_SETTINGS}
    settings |= {name: getattr(tokenizer, name) for name in _CURRENT}
    settings |= {name: token for name, token in tokenizer._special_tokens_map.items() if token is not None}
    if tokenizer.extra_special_tokens:
        settings["extra_special_tokens"] = list(tokenizer.extra_special_tokens)
    if tokenizer.chat_template is not None:
        settings["chat_template"] = tokenizer.chat_template
    return settings
