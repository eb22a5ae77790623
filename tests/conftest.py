"""Tiny encoders and sentence models of every known architecture, with random weights and a tokenizer of a few words."""

import gc
import os
from pathlib import Path

# One thread, here and in the commands that tests start, set before torch is imported: on a busy machine,
# two threads wait for each other ten times longer than a tiny model takes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoTokenizer, MT5EncoderModel, PreTrainedTokenizerFast, T5EncoderModel

from sbert_prune.models.architectures import ARCHITECTURES
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import load_saved, with_pooling
from tests.disk import wait_for_no_disk

settings.register_profile("quick", max_examples=50, deadline=None)
settings.load_profile("quick")

wait_for_no_disk()

_ORDER = ("behaviour", "tuning", "pipelines", "library", "contracts", "services")
"""The folders with the longest tests first, so that both workers end together; the quickstart's store comes last."""


def pytest_collection_finish():
    """Exclude the imported libraries from garbage collection: a million objects that are never freed."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Order the files; each is one worker's, as its tests share what is made for them."""
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(ROOT).parts[0]))


_PEOPLE = ("a", "the", "man", "woman", "child", "dog", "cat")
_DEEDS = ("plays", "sings", "sleeps", "runs", "eats", "guitar", "piano", "song", "bread", "quickly", "not", "is")
WORDS = (*_PEOPLE, *_DEEDS, "river", "street", "in", "on", "and")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:%!"
POSITIONS = 64
ROOT = Path(__file__).parent


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


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory):
    """Tests, and the commands that they start, neither find nor leave anything in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_encoder():
    """A function that builds an encoder: tiny_encoder("roberta", depth=4, width=16, spread=0.2, seed=0)."""
    return build_encoder


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A function that builds a tokenizer whose padding piece has the given id."""
    return build_tokenizer


@pytest.fixture
def tiny_base(tmp_path):
    """A function that saves an encoder with its tokenizer and returns the folder: what a user gives as a base."""

    def save(model_type="bert", *, name="base", **sizes):
        encoder = build_encoder(model_type, **sizes)
        folder = tmp_path / name
        encoder.save_pretrained(folder)
        build_tokenizer(encoder.config.pad_token_id).save_pretrained(folder)
        if model_type == "qwen2":  # Transformers makes a Qwen2Tokenizer of it, whatever class it names
            AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def tiny_model(tiny_base):
    """A function that returns a sentence model: tiny_model("bert", pooling="mean", max_seq_length=32, depth=4)."""

    def load(model_type="bert", *, pooling="mean", max_seq_length=32, **sizes):
        folder = tiny_base(model_type, **sizes)
        return with_pooling(load_saved(inspect_checkpoint(folder)), pooling, max_seq_length=max_seq_length)

    return load


@pytest.fixture(scope="session")
def sentences():
    """Sentences of the tokenizer's words: 3 to 6 words, all different."""
    subjects = ("a man", "the woman", "a child", "the dog", "the cat")
    actions = ("sings", "sleeps", "runs quickly", "plays the guitar", "eats bread", "is not in the street")
    return tuple(f"{subject} {action}" for subject in subjects for action in actions)
