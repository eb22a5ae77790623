"""Small copies of the models and data sets that the presets name on the hub, under their real names.

The encoders have twelve narrow layers, the data sets a few hundred rows.

with filled_hub(tmp_path) as hub:       # depth=4 makes encoders of fewer layers, which train in a third of the time
    ...
NEEDED["Divyanshu/indicxnli:mr"]        # the files that a preset which names it downloads
"""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
import pyarrow.parquet
import torch
from hub import Hub
from safetensors.torch import save_file
from small_texts import LABELS, LANGUAGES, nli_rows, sts_pairs, words_of_all
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertTokenizer

from sbert_prune.recipe.files import load_recipe, presets

MAHABERT, HINDBERT, MURIL, BERT = (
    "l3cube-pune/marathi-bert-v2",
    "l3cube-pune/hindi-bert-v2",
    "google/muril-base-cased",
    "google-bert/bert-base-uncased",
)
INDICXNLI, ALL_NLI, STSB = "Divyanshu/indicxnli", "sentence-transformers/all-nli", "sentence-transformers/stsb"

DEPTH, WIDTH = 12, 16

_TOKENIZER = {"config.json", "tokenizer_config.json", "vocab.txt"}

NEEDED: dict[str, set[str]] = {
    MAHABERT: {*_TOKENIZER, "tokenizer.json", "model.safetensors"},
    HINDBERT: {*_TOKENIZER, "tokenizer.json", "model.safetensors"},
    MURIL: {*_TOKENIZER, "special_tokens_map.json", "pytorch_model.bin"},
    BERT: {*_TOKENIZER, "tokenizer.json", "model.safetensors"},
    **{f"{INDICXNLI}:{language}": {f"{language}/train/0000.parquet"} for language in ("mr", "hi", "ta", "te")},
    f"{ALL_NLI}:pair-class": {"pair-class/train-00000-of-00001.parquet"},
    STSB: {f"{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")},
}
"""The files that a preset downloads, by model, or by data set and config."""

_UNWANTED = {
    "README.md": b"# In small",
    ".gitattributes": b"",
    "tf_model.h5": b"no",
    "flax_model.msgpack": b"no",
    "onnx/model.onnx": b"no",
}


def named(setting: str) -> tuple[str, str]:
    """Return the repository and the revision of a setting."""
    place, _, revision = setting.partition("@")
    return place.partition(":")[0], revision or "main"


@contextmanager
def filled_hub(folder: Path, *, depth: int = DEPTH) -> Iterator[Hub]:
    """Start a hub with all of them at the revisions of the presets, and with files that no preset needs."""
    revisions = _preset_revisions()
    with Hub(folder) as hub:
        for name, files in _encoders(depth).items():
            if revisions[name] != "main":
                hub.add_model(name, {"README.md": b"# Newer than what is pinned, and without weights"})
            hub.add_model(name, {**_UNWANTED, **files}, revision=revisions[name])
        hub.add_dataset(
            INDICXNLI, {"README.md": b"# IndicXNLI", "indicxnli.py": b"raise SystemExit('a program of others')"}
        )
        for name, files in _data_sets().items():
            hub.add_dataset(name, files, revision=revisions[name])
        hub.add_dataset(STSB, _data_sets()[STSB] | {"README.md": b"# Newer than what is pinned"})
        yield hub


def _preset_revisions() -> dict[str, str]:
    """Return the revision of every repository that a preset names; all presets name the same one."""
    recipes = [load_recipe(name) for name in presets()]
    settings = {
        setting
        for recipe in recipes
        for setting in (recipe.base_model, recipe.nli.data, recipe.sts.data)
        if "/" in (setting or "")
    }
    revisions = dict(map(named, settings))
    assert sorted(revisions.items()) == sorted(set(map(named, settings)))
    return revisions


@cache
def _encoders(depth: int) -> dict[str, dict[str, bytes]]:
    """Return the files of each encoder in its format on the hub.

    MahaBERT and HindBERT have current tensor names and an MLM head, MuRIL a pickle and a bare vocabulary, BERT old
    tensor names and both heads.
    """
    with TemporaryDirectory() as folder:
        return {
            MAHABERT: _encoder(Path(folder, "maha"), depth, seed=1),
            HINDBERT: _encoder(Path(folder, "hind"), depth, seed=2),
            MURIL: _muril(Path(folder, "muril"), depth),
            BERT: _bert(Path(folder, "bert"), depth),
        }


@cache
def _data_sets() -> dict[str, dict[str, bytes]]:
    return {INDICXNLI: _indicxnli(), ALL_NLI: _all_nli(), STSB: _stsb()}


def _encoder(
    folder: Path, depth: int, *, seed: int, lower_case: bool = False, kind: type = BertForMaskedLM
) -> dict[str, bytes]:
    pieces = _pieces(lower_case=lower_case)
    tokenizer = BertTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=lower_case, model_max_length=512
    )
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": depth, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(BertConfig(vocab_size=len(pieces), initializer_range=0.2, **sizes))
    model.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _muril(folder: Path, depth: int) -> dict[str, bytes]:
    files = _encoder(folder, depth, seed=3)
    model = BertForMaskedLM.from_pretrained(folder)
    positions = torch.arange(model.config.max_position_embeddings).unsqueeze(0)
    torch.save({"bert.embeddings.position_ids": positions, **model.state_dict()}, folder / "pytorch_model.bin")
    return {
        "config.json": files["config.json"],
        "vocab.txt": files["vocab.txt"],
        "tokenizer_config.json": json.dumps({"do_lower_case": False, "model_max_length": 512}).encode(),
        "special_tokens_map.json": json.dumps(
            {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
        ).encode(),
        "pytorch_model.bin": (folder / "pytorch_model.bin").read_bytes(),
    }


def _bert(folder: Path, depth: int) -> dict[str, bytes]:
    files = _encoder(folder, depth, seed=4, lower_case=True, kind=BertForPreTraining)
    tensors = BertForPreTraining.from_pretrained(folder).state_dict()
    old_names = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): name
        for name in tensors
    }
    save_file(
        {old: tensors[name].clone() for old, name in old_names.items()},
        folder / "old.safetensors",
        metadata={"format": "pt"},
    )
    return files | {
        "model.safetensors": (folder / "old.safetensors").read_bytes(),
        "pytorch_model.bin": b"a pickle of the same",
    }


def _pieces(*, lower_case: bool) -> list[str]:
    """Return special pieces, all words, and all characters, at the beginning and inside of words."""
    words = [word.lower() for word in words_of_all()] if lower_case else words_of_all()
    letters = sorted({letter for word in words for letter in word} | set('abcdefghijklmnopqrstuvwxyz0123456789.,:%!"'))
    return list(
        dict.fromkeys(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
        )
    )


_NUM_ROWS = {"train": None, "dev": 6, "validation": 6, "test": 3}
"""Rows of NLI splits; None for all. No two files are equal: the cache would not download the second."""


def _indicxnli() -> dict[str, bytes]:
    """Return the files as the hub's conversion to parquet names them: a folder a language."""
    languages, splits = sorted(LANGUAGES.keys() - {"en"}), ("train", "validation", "test")
    return {
        f"{language}/{split}/0000.parquet": _nli_table(language, _NUM_ROWS[split])
        for language in languages
        for split in splits
    }


def _all_nli() -> dict[str, bytes]:
    files = {
        f"pair-class/{split}-00000-of-00001.parquet": _nli_table("en", _NUM_ROWS[split])
        for split in ("train", "dev", "test")
    }
    triplets = {f"triplet/{split}-00000-of-00001.parquet": split.encode() for split in ("train", "dev", "test")}
    return {"README.md": b"# AllNLI", **files, **triplets}


def _stsb() -> dict[str, bytes]:
    """Return the files; scores are between 0 and 1."""
    files = {"README.md": b"# STSb"}
    for name, split in (("train", "train"), ("validation", "dev"), ("test", "test")):
        pairs = list(sts_pairs("en", split))
        columns = {
            "sentence1": [pair[0] for pair in pairs],
            "sentence2": [pair[1] for pair in pairs],
            "score": [pair[2] / 5 for pair in pairs],
        }
        files[f"{name}-00000-of-00001.parquet"] = _parquet(pyarrow.table(columns))
    return files


def _nli_table(language: str, num_rows: int | None) -> bytes:
    rows = list(nli_rows(language))[:num_rows]
    columns = {
        "premise": [row[0] for row in rows],
        "hypothesis": [row[1] for row in rows],
        "label": [row[2] for row in rows],
    }
    text = {"dtype": "string", "_type": "Value"}
    features = {"premise": text, "hypothesis": text, "label": {"names": list(LABELS), "_type": "ClassLabel"}}
    return _parquet(
        pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    )


def _parquet(table: pyarrow.Table) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def write_sts(folder: Path, language: str) -> Path:
    """Write a folder in the format of STSb-translated: no header, no quoting, and unbalanced quotation marks."""
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        with (folder / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            for number, (first, second, score) in enumerate(sts_pairs(language, split)):
                file.write(
                    "\t".join(("main-news", "MSRpar", "2012", f"{number:04}", f"{score:.3f}", f'"{first}', second))
                    + "\n"
                )
    return folder


def write_sts_file(path: Path, language: str) -> Path:
    """Write one file with a header; it pairs only sentences of one topic, so that it can be split without leaks."""
    scored = [pair for pair in sts_pairs(language, "train", "dev", "test") if pair[2] > 1]
    pairs = [(first, second, 5.0 if score == 5 else 0.0) for first, second, score in scored]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("sentence1", "sentence2", "score"), *pairs])
    return path
