"""Tiny encoders of every known architecture with random weights, and a tokenizer of a few words."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, MT5EncoderModel, PreTrainedTokenizerFast, T5EncoderModel

from sbert_prune.models.architectures import ARCHITECTURES

_PEOPLE = ("a", "the", "man", "woman", "child", "dog", "cat")
_DEEDS = ("plays", "sings", "sleeps", "runs", "eats", "guitar", "piano", "song", "bread", "quickly", "not", "is")
WORDS = (*_PEOPLE, *_DEEDS, "river", "street", "in", "on", "and")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:%!"
POSITIONS = 64


def build_tokenizer(pad_id):
    """Words, and letters for everything else; the padding piece stands where the architecture's config expects it."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    special.insert(pad_id, "[PAD]")
    pieces = [
        *special,
        *WORDS,
        *(letter for letter in LETTERS if letter not in WORDS),
        *(f"##{letter}" for letter in LETTERS),
    ]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(piece, numbers[piece]) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS - 8, **names)


_NAMES = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
    "t5": {
        "hidden_size": "d_model",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "intermediate_size": "d_ff",
    },
}
_NAMES["mt5"] = _NAMES["t5"]
"""What a config calls our sizes, where it is not the usual name."""

_WINDOWS = {"sliding_window": 4}
_PARTICULAR = {
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    }
    | {"pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3, "conv_act": "gelu"},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 6}
    | dict.fromkeys(("bos_token_id", "eos_token_id"), 1)
    | dict.fromkeys(("cls_token_id", "sep_token_id"), 2),
    "t5": {"d_kv": 8, "dropout_rate": 0.0, "initializer_factor": 1.0},
    "mt5": {"d_kv": 8, "dropout_rate": 0.0, "initializer_factor": 1.0},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 2, **_WINDOWS},
    "qwen3": {"use_sliding_window": True, "max_window_layers": 2, **_WINDOWS},
    "mistral": _WINDOWS,
    "gemma2": _WINDOWS,
    "gemma3_text": {"use_bidirectional_attention": True, "sliding_window_pattern": 2, **_WINDOWS},
}
"""What makes one layer of an architecture unlike another, switched on."""


def build_encoder(model_type="bert", *, depth=4, width=16, spread=0.2, seed=0):
    """An encoder with random weights, wide enough spread that every layer changes the output."""
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": POSITIONS,
        "vocab_size": 128,
        "initializer_range": spread,
    }
    sizes = {_NAMES.get(model_type, {}).get(key, key): value for key, value in sizes.items()}
    if model_type == "electra":
        sizes["embedding_size"] = width
    if (
        ARCHITECTURES[model_type].layers == "layers"
    ):  # ModernBERT's padding piece and the decoders' heads lie far outside of these sizes
        sizes |= {"pad_token_id": 0, "num_key_value_heads": 1, "head_dim": width // 2}
    config = AutoConfig.for_model(model_type, **sizes, **_PARTICULAR.get(model_type, {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = {"t5": T5EncoderModel, "mt5": MT5EncoderModel}.get(model_type)
        encoder = kind(config) if kind else AutoModel.from_config(config)
        return encoder.float().eval()
