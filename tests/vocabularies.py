"""Tiny tokenizers of every kind and class, trained on a few sentences, and tiny sentence models that use them."""

import itertools
import json
import random
from functools import cache

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    BertTokenizer,
    CamembertTokenizer,
    DebertaV2Tokenizer,
    GemmaTokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    RobertaTokenizer,
    T5EncoderModel,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

SUBJECTS = (
    "the singer",
    "a painter",
    "the old teacher",
    "a runner",
    "the baker",
    "my neighbour",
    "एक माणूस",
    "ein Bäcker",
)
DEEDS = (
    "sings loudly",
    "painted the bridge",
    "is teaching children",
    "runs towards the river",
    "bakes bread",
    "बासरी वाजवत आहे",
)
ENDS = (".", "!", ", again and again.", " in 2024.", " near the singing fountain.")
CORPUS = tuple(random.Random(0).sample([f"{s} {d}{e}" for s, d, e in itertools.product(SUBJECTS, DEEDS, ENDS)], 240))
"""240 sentences in three languages and two scripts, shuffled."""

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


@cache
def wordpiece(size=220, specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")):
    """A trained WordPiece vocabulary: piece to id, the special ones first."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False)
    )
    return tokenizer.get_vocab()


@cache
def unigram(size=160):
    """A trained Unigram vocabulary: (piece, score), without special pieces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tuple((text, score) for text, score in json.loads(tokenizer.to_str())["model"]["vocab"] if text != "<unk>")


@cache
def byte_level(size=380):
    """A trained byte-level BPE: vocabulary and merges, without special pieces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=BYTES, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _bpe_parts(tokenizer)


@cache
def byte_fallback(size=260, corpus=CORPUS):
    """A BPE as it comes out of SentencePiece: bytes for what is unknown, and a rule for every way to split a piece."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False, max_token_length=12)
    )
    trained, _ = _bpe_parts(tokenizer)
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256)), *trained]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    splits = [(piece[:cut], piece[cut:]) for piece in trained for cut in range(1, len(piece))]
    return vocabulary, [(left, right) for left, right in splits if left in vocabulary and right in vocabulary]


def _bpe_parts(tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    return dict(model["vocab"]), [tuple(merge) for merge in model["merges"]]


def numbered(*groups):
    """Piece to id, in the order of the groups."""
    return {piece: number for number, piece in enumerate(itertools.chain(*groups))}


def roberta_tokenizer():
    vocabulary, merges = byte_level()
    pieces = numbered(("<s>", "<pad>", "</s>", "<unk>"), vocabulary, ("<mask>",))
    return RobertaTokenizer(vocab=pieces, merges=merges, model_max_length=40)


def late_padding_tokenizer():
    """Ordinary pieces come before the padding, which therefore moves unless they stay."""
    ordered = sorted(wordpiece(), key=wordpiece().get)
    front = [piece for piece in ordered if len(piece) > 5 and piece[0] != "["][-9:]
    vocabulary = numbered(front, (piece for piece in ordered if piece not in front))
    return BertTokenizer(vocab=vocabulary, model_max_length=40, model_input_names=["input_ids", "attention_mask"])


def mpnet_tokenizer():
    trained = wordpiece(specials=("<s>", "<pad>", "</s>", "<mask>", "[UNK]"))
    return MPNetTokenizer(vocab=dict(trained), model_max_length=40)


def unigram_vocabulary(first, last=()):
    return [*((piece, 0.0) for piece in first), *unigram(), *((piece, 0.0) for piece in last)]


def xlm_roberta_tokenizer():
    return XLMRobertaTokenizer(
        vocab=unigram_vocabulary(("<s>", "<pad>", "</s>", "<unk>"), ("<mask>",)), model_max_length=40
    )


def camembert_tokenizer():
    first = [
        ("<s>NOTUSED", 0.0),
        ("<pad>", 0.0),
        ("</s>NOTUSED", 0.0),
        ("<unk>", 0.0),
        ("<unk>NOTUSED", -100.0),
        ("<s>", 0.0),
        ("</s>", 0.0),
    ]
    return CamembertTokenizer(vocab=[*first, *unigram(), ("<mask>", 0.0)], model_max_length=40)


def deberta_tokenizer():
    vocabulary = unigram_vocabulary(("[PAD]", "[CLS]", "[SEP]", "[UNK]"))
    return DebertaV2Tokenizer(vocab=vocabulary, model_max_length=40)  # [MASK] is added behind the model's own pieces


def t5_tokenizer():
    extra = [f"<extra_id_{number}>" for number in reversed(range(10))]
    return T5Tokenizer(vocab=unigram_vocabulary(("<pad>", "</s>", "<unk>"), extra), extra_ids=10, model_max_length=40)


def modernbert_tokenizer():
    """Special pieces lie behind the model's own, as in ModernBERT."""
    vocabulary, merges = byte_level()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    tokenizer.add_tokens(["|||IP_ADDRESS|||"])
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=40, model_input_names=inputs, **names)


def qwen_tokenizer():
    """An added end piece, put behind each text by the second of two post-processors, as in Qwen3-Embedding."""
    vocabulary, merges = byte_level()
    tokenizer = Qwen2Tokenizer(vocab=dict(vocabulary), merges=merges, padding_side="left", model_max_length=40)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    end = ("<|endoftext|>", tokenizer.eos_token_id)
    template = processors.TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]
    )
    return tokenizer


def gemma_tokenizer():
    vocabulary, merges = byte_fallback()
    tokenizer = GemmaTokenizer(vocab=dict(vocabulary), merges=merges, model_max_length=40)
    ends = [("<bos>", vocabulary["<bos>"]), ("<eos>", vocabulary["<eos>"])]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=ends
    )
    return tokenizer


TOKENIZERS = {
    "bert": lambda: BertTokenizer(vocab=dict(wordpiece()), model_max_length=40),
    "distilbert": lambda: BertTokenizer(
        vocab=dict(wordpiece()), model_max_length=40, model_input_names=["input_ids", "attention_mask"]
    ),
    "electra": lambda: BertTokenizer(vocab=dict(wordpiece()), do_lower_case=False, model_max_length=40),
    "roberta": roberta_tokenizer,
    "xlm-roberta": xlm_roberta_tokenizer,
    "camembert": camembert_tokenizer,
    "mpnet": mpnet_tokenizer,
    "deberta-v2": deberta_tokenizer,
    "t5": t5_tokenizer,
    "modernbert": modernbert_tokenizer,
    "qwen2": qwen_tokenizer,
    "qwen3": qwen_tokenizer,
    "gemma3_text": gemma_tokenizer,
}
"""By the encoder that goes with it."""

_SIZES = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    "qwen2": {"num_key_value_heads": 2, "head_dim": 8},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8},
    "electra": {"embedding_size": 16},
}
_USUAL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def build_model(model_type, folder, *, tokenizer=None, spare_rows=7, seed=0):
    """A sentence model with random weights whose tokenizer and encoder were saved and loaded, as a user's are."""
    tokenizer = tokenizer or TOKENIZERS[model_type]()
    named = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")}
    sizes = (
        _SIZES.get(model_type, {}) if model_type in {"distilbert", "t5"} else {**_USUAL, **_SIZES.get(model_type, {})}
    )
    if model_type != "t5":
        sizes = {**sizes, "max_position_embeddings": 64}
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer) + spare_rows, **sizes, **named)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = T5EncoderModel(config) if model_type == "t5" else AutoModel.from_config(config)
        for parameter in encoder.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(str(folder))
        modules = [transformer, Pooling(16, "mean"), Dense(16, 8), Normalize()]
        prompts = {"query": "the painter: "}
        return SentenceTransformer(modules=modules, device="cpu", prompts=prompts, similarity_fn_name="dot").eval()
