"""What would fill memory or time is refused before it is read, and the message says how much is read."""

import json

import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save_file

from sbert_prune.data.hub_layout import NamedFile, read_card
from sbert_prune.data.sources import load_nli, load_sts_for_evaluation
from sbert_prune.errors import DataError, EncoderError, RecipeError
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.models.lineage import BaseRecord, Lineage, read_lineage
from sbert_prune.models.modules import pooling_of
from sbert_prune.recipe.files import load_recipe
from sbert_prune.system.reading import MAX_DEPTH, read_json

LONG = "x" * 50_000_000
GIGABYTES = 9_000_000_000
NESTED = {5_000: "[" * 5_000 + "]" * 5_000, 200: "[" * 200 + "]" * 200}


@pytest.fixture
def folder(tiny_base):
    base = tiny_base("bert", depth=2)
    Lineage.begin(BaseRecord(id="b", revision=None, sha256="0", depth=2), pooling="mean").write(base)
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    listed = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    (base / "modules.json").write_text(json.dumps(listed))
    inspect_checkpoint(base)
    return base


def changed(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def sparse(path, num_bytes=GIGABYTES, begin=b""):
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(num_bytes)


def longer_piece(path, merges=None):
    parsed = json.loads(path.read_text())
    if merges is None:
        parsed["model"]["vocab"]["x" * 200_000] = 100
    else:
        parsed["model"]["merges"] = merges
    path.write_text(json.dumps(parsed))


def read_all(folder):
    inspect_checkpoint(folder)
    pooling_of(folder)
    read_lineage(folder)


MODELS = {
    "a billion layers": (
        "config.json",
        lambda path: changed(path, num_hidden_layers=10**9),
        "config.json gives num_hidden_layers=1,000,000,000; at most 1,000 layers are supported",
    ),
    "a trillion positions": (
        "config.json",
        lambda path: changed(path, max_position_embeddings=10**12),
        "config.json gives max_position_embeddings=1,000,000,000,000; at most 20,000,000 are supported",
    ),
    "a billion buckets": (
        "config.json",
        lambda path: changed(path, relative_attention_num_buckets=10**9),
        "config.json gives relative_attention_num_buckets=1,000,000,000; at most 1,000,000 are supported",
    ),
    "a value of 50 MB": (
        "config.json",
        lambda path: changed(path, x=LONG),
        r"it has 50\.0 MB; at most 10 MB are read of such a file",
    ),
    **{
        f"{name} of 9 GB": (name, sparse, r"it has 9,000\.0 MB; at most 10 MB are read of such a file")
        for name in (
            *("config.json", "modules.json", "pruning.json", "1_Pooling/config.json", "tokenizer_config.json"),
            "model.safetensors.index.json",
        )
    },
    **{
        f"{name} of 9 GB": (name, sparse, r"it has 9,000\.0 MB; at most 128 MB are read of such a file")
        for name in ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "README.md", "chat_template.jinja")
    },
    "a piece of 200,000 characters": (
        "tokenizer.json",
        longer_piece,
        "tokenizer.json has a piece of 200,000 characters; at most 131,072 are read",
    ),
    "an added piece of two million characters": (
        "tokenizer.json",
        lambda path: changed(path, added_tokens=[{"id": 0, "content": LONG[:2_000_000]}]),
        "it has a text of 2,000,000 characters; at most 1,000,000 are read",
    ),
    "a merge of 200,000 characters": (
        "tokenizer.json",
        lambda path: longer_piece(path, merges=[["a", "b"], ["a", LONG[:200_000]]]),
        "tokenizer.json has a piece of 200,000 characters; at most 131,072 are read",
    ),
    "a special piece of two million characters": (
        "tokenizer_config.json",
        lambda path: changed(path, pad_token=LONG[:2_000_000]),
        "tokenizer_config.json is not read: it has a text of 2,000,000 characters; at most 1,000,000 are read",
    ),
    "a header of 8 GB": (
        "model.safetensors",
        lambda path: sparse(path, begin=(8 * 10**9).to_bytes(8, "little")),
        "has a header of 8,000 MB; at most 20 MB are read",
    ),
    **{
        f"{name} nested {depth} deep": (
            name,
            lambda path, depth=depth: path.write_text(f'{{"model_type": "bert", "x": {NESTED[depth]}}}'),
            "its brackets are nested more than 64 deep, the most that is read",
        )
        for name in ("config.json", "modules.json", "pruning.json", "1_Pooling/config.json", "tokenizer_config.json")
        for depth in NESTED
    },
    "the lineage of a billion layers": (
        "pruning.json",
        lambda path: changed(
            path, base={"id": "b", "revision": None, "sha256": "0", "depth": 10**9}, kept_layers=[10**9 - 1]
        ),
        "An encoder of 1,000,000,000 layers is not known; at most 1,000 are supported",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_would_fill_the_memory_is_refused(folder, case):
    name, damage, message = MODELS[case]
    damage(folder / name)

    with pytest.raises(EncoderError, match=message) as caught:
        read_all(folder)

    assert len(str(caught.value)) < 1_000


def test_a_module_that_announces_more_than_its_weights_have_is_refused(folder):
    (folder / "2_Dense").mkdir()
    save_file({"linear.weight": torch.ones(2, 16)}, folder / "2_Dense" / "model.safetensors")
    (folder / "2_Dense" / "config.json").write_text('{"in_features": 16, "out_features": 2, "bias": false}')
    listed = [
        *json.loads((folder / "modules.json").read_text()),
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    inspect_checkpoint(folder)
    changed(folder / "2_Dense" / "config.json", out_features=10**9)

    with pytest.raises(EncoderError, match=r"gives out_features=1,000,000,000, and the weights .* at most 16"):
        inspect_checkpoint(folder)


def test_what_lies_within_the_limits_is_read(tmp_path):
    deepest = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    (tmp_path / "x.json").write_text(f'{{"a": {deepest[1:-1]}}}')

    assert json.dumps(read_json(tmp_path / "x.json")) == f'{{"a": {deepest[1:-1]}}}'
    with pytest.raises(ValueError, match="at most 1e-05 MB"):
        read_json(tmp_path / "x.json", 10)


def chain(folder):
    for number in range(1_500):
        (folder / f"r{number}.yaml").write_text(f"extends: r{number + 1}.yaml\n")
    (folder / "r1500.yaml").write_text("extends: quickstart\n")
    return (folder / "r0.yaml").read_text()


def bomb(_folder):
    entries = ", ".join(["x"] * 5_000)
    uses = ", ".join(["*b"] * 5_000)
    return f"extends: quickstart\nphases: &a\n- &b [{entries}]\nschedule: [{uses}]\n"


RECIPES = {
    "brackets": (lambda _: f"schedule: {'[' * 5_000}{']' * 5_000}\n", "At most 3 levels are read"),
    "groups": (lambda _: f"schedule: {'{a: ' * 5_000}\n", "At most 3 levels are read"),
    "dashes": (lambda _: f"schedule:\n  {'- ' * 5_000}x\n", "At most 3 levels are read"),
    "extends": (chain, "inherits through more than 20 recipes, the most that are read"),
    "anchors": (bomb, "more than 10,000 values"),
    "a value of 50 MB": (
        lambda _: f"base_model: {LONG}\n",
        r"it has 50\.0 MB; at most 0\.1 MB are read of such a file",
    ),
    "a long line": (lambda _: f"extends: quickstart\nseed: a: {'x' * 90_000}\n", r"x{100}\.\.\.$"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_that_would_fill_the_memory_is_refused(tmp_path, case):
    text, message = RECIPES[case]
    (tmp_path / "r0.yaml").write_text(text(tmp_path))

    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(str(tmp_path / "r0.yaml"))

    assert len(str(caught.value)) < 1_000


def test_an_anchor_may_be_used_again(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "extends: quickstart\nnli: {learning_rate: &rate 1e-4}\nsts: {learning_rate: *rate}\n"
    )

    recipe = load_recipe(str(tmp_path / "r.yaml"))

    assert recipe.nli.learning_rate == recipe.sts.learning_rate == 1e-4


def as_parquet(path, cell):
    pyarrow.parquet.write_table(
        pyarrow.table({"sentence1": ["a", cell], "sentence2": ["b", "b"], "score": [0.5, 1.0]}), path
    )


def as_jsonl(path, cell):
    rows = [{"sentence1": text, "sentence2": "b", "score": score} for text, score in (("a", 0.5), (cell, 1.0))]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def as_csv(path, cell):
    path.write_text(f"sentence1,sentence2,score\na,b,0.5\n{cell},b,1\n")


def as_quoted_csv(path, cell):
    as_csv(path, f'"{cell}"')


def as_tsv(path, cell):
    path.write_text(f"sentence1\tsentence2\tscore\na\tb\t0.5\n{cell}\tb\t1\n")


@pytest.mark.parametrize(
    ("suffix", "write"),
    [("parquet", as_parquet), ("jsonl", as_jsonl), ("csv", as_csv), ("csv", as_quoted_csv), ("tsv", as_tsv)],
)
@pytest.mark.parametrize("length", [200_000, 20_000_000])
def test_a_cell_that_no_sentence_has_is_refused(tmp_path, suffix, write, length):
    write(tmp_path / f"x.{suffix}", LONG[:length])

    with pytest.raises(DataError, match=r"at most 131,072|longer than 131,072 characters|longer than 16 MiB") as caught:
        load_sts_for_evaluation(str(tmp_path / f"x.{suffix}"), score_range=(0, 1))

    assert len(str(caught.value)) < 1_000


def test_a_label_that_no_class_has_is_refused(tmp_path):
    rows = pyarrow.table({"premise": ["a"], "hypothesis": ["b"], "label": [LONG[:200_000]]})
    pyarrow.parquet.write_table(rows, tmp_path / "x.parquet")

    with pytest.raises(DataError, match="a cell has 200,000 characters; expected at most 131,072"):
        load_nli(str(tmp_path / "x.parquet"))


FILES = [NamedFile.parse("data/train.csv")]


def test_a_card_with_more_patterns_than_any_data_set_is_refused():
    entries = ", ".join(["{path: x}"] * 5_000)
    uses = "".join(f"- {{config_name: c{number}, data_files: *all}}\n" for number in range(5_000))

    with pytest.raises(DataError, match="more than 10,000 patterns of file names, the most that are read"):
        read_card(f"---\nall: &all [{entries}]\nconfigs:\n{uses}---\n", FILES)


@pytest.mark.parametrize("nested", ["[" * 5_000, "[" * 5_000 + "]" * 5_000, "{a: " * 5_000])
def test_a_card_that_is_nested_too_deeply_declares_nothing(nested):
    assert read_card(f"---\nconfigs: {nested}\n---\n", FILES) == ({}, None)


def test_a_pattern_that_would_backtrack_for_ever_is_matched():
    pattern, path = f"{'*a' * 40}b", f"data/{'a' * 200}.csv"

    configs, _ = read_card(f"---\nconfigs: [{{data_files: 'data/{pattern}'}}]\n---\n", [NamedFile.parse(path)])

    assert configs == {"default": []}
