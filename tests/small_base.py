"""A base that trains in a moment: a few layers, 32 wide, the embedded base's tokenizer, projected word embeddings."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from sbert_prune.models.sentence import encoder_of, load_saved
from sbert_prune.models.sources import locate_base

WIDTH, LENGTH = 32, 64


def save_small_base(folder: Path, *, depth: int = 3) -> None:
    """Save it. A random projection keeps angles: sentences are as similar as before. The layers are random."""
    embedded = locate_base("quickstart").checkpoint
    words = encoder_of(load_saved(embedded)).get_input_embeddings().weight.detach()
    pieces, width = words.shape
    calm = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = {"num_hidden_layers": depth, "hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = BertModel(
            BertConfig(vocab_size=pieces, max_position_embeddings=LENGTH, initializer_range=0.1, **sizes, **calm)
        ).eval()
        projection = torch.randn(width, WIDTH) / WIDTH**0.5
    small.get_input_embeddings().weight.data = words @ projection
    small.save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded.folder, model_max_length=LENGTH).save_pretrained(folder)
