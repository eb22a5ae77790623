"""A model's tokenizer cuts texts as its tokenizer.json says, whatever class Transformers would make of it."""

import json

import pytest
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from sbert_prune.errors import EncoderError
from sbert_prune.layers import LayerSelection
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.sentence import load_saved
from sbert_prune.models.tokenizer import load_tokenizer
from sbert_prune.pruning import prune_checkpoint
from tests.vocabularies import build_model

TEXT = "The Baker sings, é!"
NO_CLS = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]


def saved(folder, model_type, described, settings):
    """A saved model whose tokenizer.json and tokenizer_config.json were changed; None removes a setting."""
    build_model(model_type, folder).save(str(folder))
    for name, changes in (("tokenizer.json", described), ("tokenizer_config.json", settings)):
        content = json.loads((folder / name).read_bytes())
        for key, value in changes.items():
            content[key] = {**content[key], **value} if isinstance(content.get(key), dict) and value else value
        present = {key: value for key, value in content.items() if value is not None or name == "tokenizer.json"}
        (folder / name).write_text(json.dumps(present), encoding="utf-8")
    return folder


def cut_by_the_file(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer.encode(TEXT).ids


OTHERWISE = {
    "case, by the file alone": ("bert", {"normalizer": {"lowercase": False}}, {"do_lower_case": None}),
    "another normaliser": ("bert", {"normalizer": None}, {}),
    "another splitting into words": ("bert", {"pre_tokenizer": {"type": "WhitespaceSplit"}}, {}),
    "a template without a first piece": ("bert", {"post_processor": {"single": NO_CLS}}, {}),
    "shorter words only": ("bert", {"model": {"max_input_chars_per_word": 3}}, {}),
    "Unigram below a class of WordPiece": ("xlm-roberta", {}, {"tokenizer_class": "BertTokenizer"}),
    "byte-level BPE below a class of WordPiece": ("roberta", {}, {"tokenizer_class": "BertTokenizerFast"}),
    "a space before the text": ("roberta", {"pre_tokenizer": {"add_prefix_space": True}}, {"add_prefix_space": None}),
}


@pytest.mark.parametrize(("model_type", "described", "settings"), OTHERWISE.values(), ids=OTHERWISE)
def test_texts_are_cut_as_the_file_says_also_by_what_is_saved(tmp_path, model_type, described, settings):
    folder = saved(tmp_path / "model", model_type, described, settings)
    expected = cut_by_the_file(folder)

    model = load_saved(inspect_checkpoint(folder))
    model.save(str(tmp_path / "saved"))
    prune_checkpoint(folder, LayerSelection((0,), 2), tmp_path / "pruned")

    readers = (load_tokenizer(folder), model.tokenizer)
    readers += tuple(SentenceTransformer(str(tmp_path / name)).tokenizer for name in ("saved", "pruned"))
    assert [reader(TEXT)["input_ids"] for reader in readers] == [expected] * 4
    assert [reader.model_max_length for reader in readers] == [40] * 4


SAME = {
    "as it was saved": {},
    "no class": {"tokenizer_class": None},
    "accents that go with the case": {"strip_accents": True},
}


@pytest.mark.parametrize("settings", SAME.values(), ids=SAME)
def test_a_tokenizer_that_cuts_as_its_file_says_keeps_its_class_and_its_files(tmp_path, settings):
    folder = saved(tmp_path / "model", "bert", {}, settings)

    model = load_saved(inspect_checkpoint(folder))
    prune_checkpoint(folder, LayerSelection((0,), 2), tmp_path / "pruned")

    assert type(model.tokenizer).__name__ == "BertTokenizer"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "pruned" / name).read_bytes() == (folder / name).read_bytes()


def test_lower_casing_by_sentence_transformers_comes_first(tmp_path):
    folder = saved(tmp_path / "model", "electra", {"pre_tokenizer": {"type": "WhitespaceSplit"}}, {})
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "do_lower_case": True}), encoding="utf-8")

    tokenizer = load_saved(inspect_checkpoint(folder)).tokenizer

    assert tokenizer.tokenize("The BAKER sings,") == tokenizer.tokenize("the baker sings,")
    assert "[UNK]" in tokenizer.tokenize("the baker sings,")


def test_two_files_that_contradict_each_other_are_refused_at_every_door(tmp_path):
    folder = saved(tmp_path / "model", "bert", {"normalizer": {"lowercase": False}}, {"do_lower_case": True})
    doors = (
        lambda: load_saved(inspect_checkpoint(folder)),
        lambda: load_tokenizer(folder),
        lambda: prune_checkpoint(folder, LayerSelection((0,), 2), tmp_path / "pruned"),
    )

    for door in doors:
        with pytest.raises(EncoderError, match=r"do_lower_case=true, and tokenizer\.json lowercase=false"):
            door()
    assert not (tmp_path / "pruned").exists()


def test_a_class_that_transformers_puts_in_place_of_every_other_is_refused(tmp_path):
    folder = saved(tmp_path / "model", "qwen2", {"normalizer": {"type": "Lowercase"}}, {})

    with pytest.raises(EncoderError, match="normalizer differ"):
        load_saved(inspect_checkpoint(folder))
