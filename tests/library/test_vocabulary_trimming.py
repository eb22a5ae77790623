"""A sentence whose pieces are all kept has bitwise the same embedding, in every encoder family, also when reloaded."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertForMaskedLM, CanineTokenizer, PreTrainedTokenizerFast
from vocabularies import CORPUS, TOKENIZERS, build_model, late_padding_tokenizer, wordpiece

from sbert_prune.errors import DataError, EncoderError, RecipeError
from sbert_prune.models.sentence import encoder_of
from sbert_prune.recipe.values import VocabularyLimit
from sbert_prune.vocabulary.embedding import counts_positions_from_padding, token_table
from sbert_prune.vocabulary.trim import trim_vocabulary

MODEL_TYPES = list(TOKENIZERS)
LIMIT = VocabularyLimit(coverage=0.96)
COUNTED = CORPUS[:120]


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory):
    """A function that returns a sentence model of a type, its trimmed copy and the report, each made once."""
    made = {}

    def get(model_type):
        if model_type not in made:
            model = build_model(model_type, tmp_path_factory.mktemp(model_type))
            made[model_type] = (model, *trim_vocabulary(model, COUNTED, LIMIT))
        return made[model_type]

    return get


def covered(before, after):
    """Return the sentences whose pieces are all kept, and the others."""
    known = set(after.tokenizer.get_vocab())
    split = {True: [], False: []}
    for sentence in CORPUS:
        split[known.issuperset(before.tokenizer.tokenize(sentence))].append(sentence)
    return split[True], split[False]


def states(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_covered_sentence_embeds_as_before(trimmed, model_type):
    before, after, report = trimmed(model_type)
    same, other = covered(before, after)

    assert len(same) > 20
    assert len(other) > 20
    assert [before.tokenizer.tokenize(text) for text in same] == [after.tokenizer.tokenize(text) for text in same]
    assert np.array_equal(before.encode(same), after.encode(same))
    assert not np.allclose(before.encode(other[:5]), after.encode(other[:5]))
    assert report.parameters_after < report.parameters_before


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_number_names_the_piece_that_it_named(trimmed, model_type):
    before, after, report = trimmed(model_type)
    old, new = before.tokenizer, after.tokenizer
    configs = [encoder_of(model).config.to_dict() for model in (before, after)]
    named = {key for key, value in configs[0].items() if key.endswith("_token_id") and value is not None}

    assert new.special_tokens_map == old.special_tokens_map
    assert new.all_special_tokens == old.all_special_tokens
    assert "pad_token_id" in named
    for key in named:
        assert new.convert_ids_to_tokens(configs[1][key]) == old.convert_ids_to_tokens(configs[0][key])
    assert new.convert_ids_to_tokens(new("a b")["input_ids"]) == old.convert_ids_to_tokens(old("a b")["input_ids"])
    assert len(new) == configs[1]["vocab_size"] == report.pieces_after == token_table(encoder_of(after)).num_embeddings
    assert getattr(encoder_of(after), "vocab_size", report.pieces_after) == report.pieces_after
    if (padding := token_table(encoder_of(before)).padding_idx) is not None:
        assert new.convert_ids_to_tokens(token_table(encoder_of(after)).padding_idx) == old.convert_ids_to_tokens(
            padding
        )


def test_pieces_that_the_config_names_stay(tmp_path):
    model = build_model("bert", tmp_path)
    rarest = [piece for piece in sorted(wordpiece(), key=wordpiece().get) if len(piece) > 5 and piece[0] != "["][-2:]
    encoder_of(model).config.eos_token_id = [wordpiece()[piece] for piece in rarest]

    after, _ = trim_vocabulary(model, ["a b"] * 20, VocabularyLimit(coverage=0.1))

    assert after.tokenizer.convert_ids_to_tokens(encoder_of(after).config.eos_token_id) == rarest
    assert encoder_of(model).config.eos_token_id == [wordpiece()[piece] for piece in rarest]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_settings_stay(trimmed, model_type):
    before, after, _ = trimmed(model_type)
    names = (
        "model_max_length",
        "padding_side",
        "truncation_side",
        "model_input_names",
        "chat_template",
        "clean_up_tokenization_spaces",
    )

    assert [type(module) for module in after] == [type(module) for module in before]
    assert type(encoder_of(after)) is type(encoder_of(before))
    assert (after.prompts, after.similarity_fn_name, after.max_seq_length) == (before.prompts, "dot", 40)
    assert [getattr(after.tokenizer, name) for name in names] == [getattr(before.tokenizer, name) for name in names]
    assert not after.training


FRESH = """
import json, sys
import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer
texts = json.load(open(sys.argv[1]))
for folder in sys.argv[2:]:
    model = SentenceTransformer(folder, device="cpu")
    np.save(folder + "/vectors.npy", model.encode(texts))
    ids = [AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for text in texts]
    json.dump(ids, open(folder + "/ids.json", "w"))
"""


@pytest.mark.slow
def test_a_fresh_process_cuts_and_embeds_as_in_memory(trimmed, tmp_path):
    texts = [*CORPUS[:40], "unseen: Ωmega ☃ 雪", "a [MASK] <s>", "  doubled   spaces "]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    folders = {model_type: tmp_path / model_type for model_type in MODEL_TYPES}
    for model_type, folder in folders.items():
        trimmed(model_type)[1].save(str(folder), create_model_card=False)

    subprocess.run(
        [sys.executable, "-c", FRESH, tmp_path / "texts.json", *folders.values()], check=True, capture_output=True
    )

    for model_type, folder in folders.items():
        after = trimmed(model_type)[1]
        assert json.loads((folder / "ids.json").read_text()) == [
            after.tokenizer(text)["input_ids"] for text in texts
        ], model_type
        assert np.array_equal(np.load(folder / "vectors.npy"), after.encode(texts)), model_type
        names = {path.name for path in folder.iterdir()}
        assert not names & {
            "vocab.txt",
            "vocab.json",
            "merges.txt",
            "sentencepiece.bpe.model",
            "spiece.model",
            "spm.model",
            "tokenizer.model",
        }


def test_settings_come_back_from_the_folder(trimmed, tmp_path):
    before, after, _ = trimmed("qwen3")
    after.save(str(tmp_path), create_model_card=False)

    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    assert (tokenizer.padding_side, tokenizer.model_input_names) == ("left", before.tokenizer.model_input_names)
    assert (loaded.prompts["query"], loaded.similarity_fn_name, loaded.max_seq_length) == ("the painter: ", "dot", 40)
    assert tokenizer.extra_special_tokens == ["<|im_start|>", "<|im_end|>"]


@pytest.mark.parametrize("model_type", ["bert", "t5", "gemma3_text", "roberta"])
def test_the_given_model_stays_and_shares_nothing(tmp_path, model_type):
    model = build_model(model_type, tmp_path)
    model.tokenizer.backend_tokenizer.enable_truncation(5)
    state, config, tokenizer = (
        states(model),
        encoder_of(model).config.to_dict(),
        model.tokenizer.backend_tokenizer.to_str(),
    )

    after, _ = trim_vocabulary(model, COUNTED, LIMIT)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.zero_()
    after.tokenizer.add_tokens(["new"])
    after.prompts["query"] = "changed"

    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert encoder_of(model).config.to_dict() == config
    assert model.tokenizer.backend_tokenizer.to_str() == tokenizer
    assert model.prompts["query"] == "the painter: "
    assert after[0].input_formatter.processor is after.tokenizer


def test_the_scale_of_an_embedding_and_a_tie_stay(trimmed):
    gemma, t5 = encoder_of(trimmed("gemma3_text")[1]), encoder_of(trimmed("t5")[1])

    assert token_table(gemma).embed_scale == token_table(encoder_of(trimmed("gemma3_text")[0])).embed_scale
    assert t5.shared.weight is t5.encoder.embed_tokens.weight
    assert t5.encoder.embed_tokens.num_embeddings == t5.config.vocab_size


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_positions_are_known_to_start_behind_the_padding(trimmed, model_type):
    found = counts_positions_from_padding(encoder_of(trimmed(model_type)[0]))

    assert found == (model_type in {"roberta", "xlm-roberta", "camembert", "mpnet"})


def test_the_padding_stays_where_positions_are_counted_from_it(tmp_path):
    tokenizer = late_padding_tokenizer()
    roberta = build_model("roberta", tmp_path / "roberta", tokenizer=tokenizer)
    bert = build_model("bert", tmp_path / "bert", tokenizer=tokenizer)
    texts = ["a b", "the"] * 10

    kept, _ = trim_vocabulary(roberta, texts, VocabularyLimit(coverage=0.5))
    moved, _ = trim_vocabulary(bert, texts, VocabularyLimit(coverage=0.5))

    assert [model.tokenizer.pad_token_id for model in (roberta, kept)] == [9, 9]
    assert moved.tokenizer.pad_token_id < 9
    assert np.array_equal(roberta.encode(texts), kept.encode(texts))
    assert np.array_equal(bert.encode(texts), moved.encode(texts))


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta", "modernbert", "gemma3_text"])
def test_trimming_twice_composes(trimmed, model_type):
    before, once, _ = trimmed(model_type)

    twice, report = trim_vocabulary(once, COUNTED, VocabularyLimit(coverage=0.9))

    same, _ = covered(before, twice)
    assert report.pieces_after < report.pieces_before == len(once.tokenizer)
    assert set(twice.tokenizer.get_vocab()) < set(once.tokenizer.get_vocab()) < set(before.tokenizer.get_vocab())
    assert np.array_equal(before.encode(same), twice.encode(same))


@pytest.mark.parametrize("limit", ["all", "100000"])
def test_a_limit_above_the_vocabulary_keeps_every_piece_and_drops_spare_rows(trimmed, limit):
    before, _, _ = trimmed("modernbert")

    after, report = trim_vocabulary(before, CORPUS[:20], VocabularyLimit.parse(limit))

    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    assert token_table(encoder_of(before)).num_embeddings == len(after.tokenizer) + 7
    assert (
        token_table(encoder_of(after)).num_embeddings
        == len(after.tokenizer)
        == report.pieces_before
        == report.pieces_after
    )
    assert np.array_equal(before.encode(list(CORPUS)), after.encode(list(CORPUS)))


def test_the_pieces_of_prompts_stay(trimmed):
    before, _, _ = trimmed("bert")
    pieces = set(before.tokenizer.tokenize("the painter: "))

    after, _ = trim_vocabulary(before, ["a b"] * 20, VocabularyLimit(coverage=0.1))

    assert "painter" in pieces or any(len(piece.removeprefix("##")) > 1 for piece in pieces)
    assert pieces <= set(after.tokenizer.get_vocab())


def test_the_report_equals_a_count_by_hand(tmp_path):
    model = build_model("bert", tmp_path)
    vocabulary = wordpiece()
    counted, held_out = ["the singer ☃"] * 9, "the baker baker ☃"

    after, report = trim_vocabulary(model, [*counted, held_out], VocabularyLimit(coverage=1.0))

    def pieces(tokenizer):
        return tokenizer.tokenize(held_out)

    old, new = pieces(model.tokenizer), pieces(after.tokenizer)
    survived = [piece in after.tokenizer.get_vocab() for piece in old]
    assert (report.pieces_before, report.pieces_after) == (len(vocabulary), len(after.tokenizer))
    assert (report.parameters_before, report.parameters_after) == (
        sum(parameter.numel() for parameter in encoder_of(model).parameters()),
        sum(parameter.numel() for parameter in encoder_of(after).parameters()),
    )
    assert report.parameters_before - report.parameters_after == 16 * (len(vocabulary) + 7 - len(after.tokenizer))
    assert report.bytes_after == 4 * report.parameters_after
    assert (report.pieces_per_word_before, report.pieces_per_word_after) == (len(old) / 4, len(new) / 4)
    assert (report.unknown_rate_before, report.unknown_rate_after) == (1 / len(old), 1 / len(new))
    assert report.coverage == sum(survived) / len(old) < 1
    assert report.covered_sentences == 0
    assert (report.num_counted, report.num_held_out, report.measured_on) == (9, 1, "1 held-out texts")


def test_few_texts_are_measured_on_themselves_as_the_report_states(trimmed):
    _, report = trim_vocabulary(trimmed("bert")[0], CORPUS[:9], VocabularyLimit(coverage=1.0))

    assert (report.num_counted, report.num_held_out) == (9, 0)
    assert (report.coverage, report.covered_sentences) == (1.0, 1.0)
    assert report.measured_on == "the 9 counted texts themselves"


def test_the_digest_is_that_of_the_pieces_in_order(trimmed):
    before, after, report = trimmed("bert")

    again, repeated = trim_vocabulary(before, COUNTED, LIMIT)
    _, other = trim_vocabulary(before, COUNTED, VocabularyLimit(coverage=0.9))

    assert repeated.digest == report.digest != other.digest
    assert again.tokenizer.get_vocab() == after.tokenizer.get_vocab()


def test_mistakes_are_refused(trimmed):
    model, _, _ = trimmed("bert")

    with pytest.raises(RecipeError, match=r"vocabulary=10: \d+ of this tokenizer's \d+ pieces have to stay"):
        trim_vocabulary(model, iter(()), VocabularyLimit(pieces=10))  # raised before the corpus is read
    with pytest.raises(DataError, match="contains no text"):
        trim_vocabulary(model, ["", " "], LIMIT)


def replaced(model, part, by):
    """The sentence model with another encoder ("model") or tokenizer ("processor")."""
    setattr(model[0], part, by)
    return model


def test_tokenizers_that_cannot_be_trimmed_are_named(tmp_path):
    word_level = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")))

    with pytest.raises(EncoderError, match="is a CanineTokenizer, without a fast backend"):
        trim_vocabulary(replaced(build_model("bert", tmp_path / "a"), "processor", CanineTokenizer()), CORPUS, LIMIT)
    with pytest.raises(EncoderError, match="of the kind WordLevel"):
        trim_vocabulary(replaced(build_model("bert", tmp_path / "b"), "processor", word_level), CORPUS, LIMIT)


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
def test_a_tokenizer_that_its_class_would_rebuild_otherwise_becomes_one_of_the_plain_class(tmp_path, model_type):
    model = build_model(model_type, tmp_path / "base")
    backend = model.tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace("singer", "baker"), *([backend.normalizer] if backend.normalizer else [])]
    )

    after, _ = trim_vocabulary(model, COUNTED, LIMIT)
    after.save(str(tmp_path / "trimmed"), create_model_card=False)
    loaded = SentenceTransformer(str(tmp_path / "trimmed"), device="cpu")

    same, _ = covered(model, after)
    assert type(after.tokenizer) is type(loaded.tokenizer) is PreTrainedTokenizerFast
    assert (
        after.tokenizer.tokenize("the singer")
        == loaded.tokenizer.tokenize("the singer")
        == model.tokenizer.tokenize("the baker")
    )
    assert after.tokenizer.model_input_names == loaded.tokenizer.model_input_names == model.tokenizer.model_input_names
    assert np.array_equal(model.encode(same), after.encode(same))
    assert np.array_equal(loaded.encode(same), after.encode(same))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_tokenizer_keeps_its_class(trimmed, model_type):
    before, after, _ = trimmed(model_type)

    assert type(after.tokenizer) is type(before.tokenizer)


def test_scores_stay_to_the_last_digit(trimmed):
    before, after = (json.loads(model.tokenizer.backend_tokenizer.to_str()) for model in trimmed("xlm-roberta")[:2])

    scores = dict(map(tuple, before["model"]["vocab"]))
    assert all(scores[piece] == score for piece, score in after["model"]["vocab"])


def test_ids_with_gaps_are_refused(tmp_path):
    vocabulary = {piece: number if number < 100 else number + 3 for piece, number in wordpiece().items()}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EXTRA]"])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    model = build_model("bert", tmp_path, tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names))

    with pytest.raises(EncoderError, match=r"changes when it is saved and loaded: added_tokens"):
        trim_vocabulary(model, COUNTED, LIMIT)


def test_encoders_that_cannot_be_trimmed_are_named(tmp_path):
    model = build_model("bert", tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    small = AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=50, **sizes))
    headed = BertForMaskedLM(AutoConfig.for_model("bert", vocab_size=200, **sizes))

    with pytest.raises(EncoderError, match=r"go up to \d+, the encoder has 50 rows"):
        trim_vocabulary(replaced(model, "model", small), CORPUS, LIMIT)
    with pytest.raises(EncoderError, match=r"further rows for its 200 pieces .*an output layer"):
        trim_vocabulary(replaced(model, "model", headed), CORPUS, LIMIT)
