"""A removed piece is replaced as the tokenizer itself does it, and pieces with a bad replacement are kept longer."""

import json
from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from vocabularies import TOKENIZERS

from sbert_prune.recipe.values import VocabularyLimit
from sbert_prune.vocabulary.choose import choose_pieces, distances
from sbert_prune.vocabulary.tokenizer_json import read_pieces, rewrite

KINDS = {"WordPiece": "bert", "Unigram": "xlm-roberta", "byte-level BPE": "roberta", "byte fallback": "gemma3_text"}


@pytest.mark.parametrize("model_type", KINDS.values(), ids=KINDS)
def test_the_replacement_is_the_one_of_the_tokenizer(model_type):
    """Random rows: no two sequences of pieces have the same mean, so the distance identifies the replacement."""
    tokenizer = json.loads(TOKENIZERS[model_type]().backend_tokenizer.to_str())
    pieces = read_pieces(tokenizer)
    replaceable = {
        number: text
        for text, number in pieces.numbers
        if number not in pieces.irreplaceable() and not text.startswith("##")
    }
    rows = np.random.default_rng(0).normal(size=(max(pieces.ids) + 1, 64)).astype(np.float32)

    for number, text in replaceable.items():
        kept = sorted(set(pieces.ids) - {number})
        small = Tokenizer.from_str(json.dumps(rewrite(tokenizer, {old: new for new, old in enumerate(kept)})))
        expected = [kept[token.id] for token in small.model.tokenize(text)]
        mean = rows[expected].mean(axis=0)
        cosine = float(rows[number] @ mean / np.linalg.norm(rows[number]) / np.linalg.norm(mean))

        assert distances(pieces, rows, [number], pieces.ids)[number] == pytest.approx(1 - cosine, abs=1e-5), text
    assert len(replaceable) > 40


def wordpieces(*texts):
    specials = ["[PAD]", "[UNK]", *"abc", *("##" + letter for letter in "abc")]
    vocabulary = {text: number for number, text in enumerate((*specials, *texts))}
    tokenizer = json.loads(Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")).to_str())
    return read_pieces(tokenizer), vocabulary


def test_a_rare_piece_without_replacement_is_kept_before_a_frequent_one_that_is_the_sum_of_its_parts():
    pieces, vocabulary = wordpieces("ab", "bc")
    rows = np.eye(len(vocabulary), dtype=np.float32)
    rows[vocabulary["ab"]] = rows[vocabulary["a"]] + rows[vocabulary["##b"]]
    occurrences = Counter({vocabulary["ab"]: 1000, vocabulary["bc"]: 10})

    by_frequency = choose_pieces(pieces, occurrences, VocabularyLimit(8), ())
    by_loss = choose_pieces(pieces, occurrences, VocabularyLimit(8), (), rows)

    assert vocabulary["ab"] in by_frequency
    assert (vocabulary["ab"] in by_loss, vocabulary["bc"] in by_loss) == (False, True)


def test_an_inner_piece_is_replaced_by_inner_pieces():
    pieces, vocabulary = wordpieces("##bc")
    rows = np.eye(len(vocabulary), dtype=np.float32)
    rows[vocabulary["##bc"]] = rows[vocabulary["##b"]] + rows[vocabulary["##c"]]

    assert distances(pieces, rows, [vocabulary["##bc"]], pieces.ids)[vocabulary["##bc"]] == pytest.approx(0, abs=1e-6)


def test_a_piece_without_replacement_has_a_distance_of_one():
    pieces, vocabulary = wordpieces("xyz")

    assert distances(pieces, np.eye(len(vocabulary), dtype=np.float32), [vocabulary["xyz"]], pieces.ids) == {
        vocabulary["xyz"]: 1.0
    }


def test_a_share_to_cover_goes_by_frequency_alone():
    pieces, vocabulary = wordpieces("ab", "bc")
    rows = np.eye(len(vocabulary), dtype=np.float32)
    rows[vocabulary["ab"]] = rows[vocabulary["a"]] + rows[vocabulary["##b"]]
    occurrences = Counter({vocabulary["ab"]: 1000, vocabulary["bc"]: 10})

    kept = choose_pieces(pieces, occurrences, VocabularyLimit(coverage=0.95), (), rows)

    assert (vocabulary["ab"] in kept, vocabulary["bc"] in kept) == (True, False)
