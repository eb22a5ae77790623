"""A data set on a hub is found by its files' names or its README, and only the wanted splits are fetched."""

import gzip
import io

import pyarrow
import pyarrow.parquet
import pytest
from hub import Fault

from sbert_prune.data.hub_datasets import CONVERTED, fetch_splits, is_hub_setting
from sbert_prune.errors import DataError, HubError

SCRIPT = {"README.md": b"# IndicXNLI", "indicxnli.py": b"raise SystemExit('never run')", ".gitattributes": b""}


def table(*premises):
    columns = {"premise": premises, "hypothesis": premises, "label": [0] * len(premises)}
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def named(*paths):
    """Files of which only the names matter; each contains its name."""
    return {path: path.encode() for path in paths}


@pytest.fixture
def indicxnli(hub):
    """A data set like Divyanshu/indicxnli: a loading script, and its conversion by language."""
    hub.add_dataset("Divyanshu/indicxnli", SCRIPT)
    splits = ("train", "validation", "test")
    files = {
        f"{language}/{split}/0000.parquet": table(f"{language} {split}")
        for language in ("hi", "mr")
        for split in splits
    }
    return hub.add_dataset("Divyanshu/indicxnli", {**files, "mr/train/0001.parquet": table("more")}, revision=CONVERTED)


def relative(fetched):
    return {
        split: [str(path).partition(fetched.commit + "/")[2] for path in paths]
        for split, paths in fetched.files.items()
    }


def refusal(setting, *wanted, error=DataError):
    with pytest.raises(error) as caught:
        fetch_splits(setting, wanted or ("train",))
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("org/name", True),
        ("org/name@v1.0", True),
        ("org/name:mr", True),
        ("org/name:mr/long@refs/convert/parquet", True),
        ("org/name.v2", True),
        ("org/name.csv@main", True),
        ("data/train.csv", False),
        ("data/train.jsonl.gz", False),
        ("quickstart", False),
        ("a/b/c", False),
        ("./data", False),
        ("/org/name", False),
        ("~/data", False),
        ("org/", False),
        ("org/name:", False),
        ("org/name@", False),
        ("https://hub/org/name", False),
        ("models:/name@champion", False),
        ("", False),
    ],
)
def test_a_setting_reads_like_a_data_set_of_a_hub_or_it_does_not(setting, expected):
    assert is_hub_setting(setting) is expected


def test_a_language_of_a_conversion_is_fetched_with_its_wanted_splits_only(hub, indicxnli):
    found = fetch_splits(f"Divyanshu/indicxnli:mr@{CONVERTED}", ("train", "dev"))

    assert relative(found) == {
        "train": ["mr/train/0000.parquet", "mr/train/0001.parquet"],
        "dev": ["mr/validation/0000.parquet"],
    }
    assert pyarrow.parquet.read_table(found.files["train"][0])["premise"].to_pylist() == ["mr train"]
    assert (found.source, found.commit, found.note) == (f"Divyanshu/indicxnli:mr@{indicxnli}", indicxnli, "")
    assert hub.fetched == [f"Divyanshu/indicxnli/{path}" for paths in relative(found).values() for path in paths]


def test_a_loading_script_is_replaced_by_its_conversion_with_a_note(hub, indicxnli):
    found = fetch_splits("Divyanshu/indicxnli:hi", ("test",))

    assert relative(found) == {"test": ["hi/test/0000.parquet"]}
    assert found.commit == indicxnli
    assert found.note == "Divyanshu/indicxnli is a loading script; read from the hub's conversion, refs/convert/parquet"


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_the_cache_serves_what_was_fetched_before(hub, indicxnli, monkeypatch, offline):
    before = fetch_splits("Divyanshu/indicxnli:mr", ("train", "dev"))
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.stop()

    found = fetch_splits("Divyanshu/indicxnli:mr", ("train",), optional=("dev", "test"))

    assert (found.files, found.source) == (before.files, before.source)
    assert "the cache has no test split" in found.note
    assert ("the hub is out of reach" in found.note) is not offline
    assert "Run the command once with the hub in reach." in refusal("Divyanshu/indicxnli:mr", "test")


def test_an_old_commit_is_found_by_its_name(hub, indicxnli):
    hub.add_dataset("Divyanshu/indicxnli", {"mr/train/0000.parquet": table("new")}, revision=CONVERTED)

    assert fetch_splits(f"Divyanshu/indicxnli:mr@{indicxnli}", ("train",)).commit == indicxnli
    assert fetch_splits("Divyanshu/indicxnli:mr", ("train",)).commit != indicxnli


CARD = b"""---
license: apache-2.0
configs:
- config_name: graded
  data_files:
  - split: train
    path: "raw/a-*.csv"
  - split: validation
    path: [raw/b.csv]
- config_name: plain
  default: true
  data_dir: other
  data_files: "*.jsonl"
---
# A data set
"""
OF_CARD = {
    "README.md": CARD,
    **named("raw/a-1.csv", "raw/a-2.csv", "raw/b.csv", "raw/c.csv", "other/x.jsonl", "other/deep/y.jsonl"),
}


@pytest.mark.parametrize(
    ("setting", "files", "expected"),
    [
        ("o/n", named("train.csv", "test.tsv", "README.md", "extra.csv"),
         {"train": ["train.csv"], "test": ["test.tsv"]}),
        ("o/n", named("train.parquet", "train.csv", "train.jsonl"), {"train": ["train.parquet"]}),
        ("o/n", named("train.csv", "train.csv.gz"), {"train": ["train.csv"]}),
        ("o/n", named("validation.jsonl.gz", "training.jsonl.gz"),
         {"train": ["training.jsonl.gz"], "dev": ["validation.jsonl.gz"]}),
        ("o/n", named("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"),
         {"train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]}),
        ("o/n", named("data/train-00000-of-00001-a09b74b3ef9c3b56.parquet"),
         {"train": ["data/train-00000-of-00001-a09b74b3ef9c3b56.parquet"]}),
        ("o/n", named("default/train/0000.parquet"), {"train": ["default/train/0000.parquet"]}),
        ("o/n:default", named("train.csv"), {"train": ["train.csv"]}),
        ("o/n", named("train/0000.parquet", "val/0000.parquet"),
         {"train": ["train/0000.parquet"], "dev": ["val/0000.parquet"]}),
        ("o/n", named("only/dev.csv", "only/train.csv"), {"train": ["only/train.csv"], "dev": ["only/dev.csv"]}),
        ("o/n:mr", named("mr/indicxnli-train.parquet", "mr/indicxnli-test.parquet", "hi/indicxnli-train.parquet"),
         {"train": ["mr/indicxnli-train.parquet"], "test": ["mr/indicxnli-test.parquet"]}),
        ("o/n:pair-class", named("pair-class/train-00000-of-00001.parquet", "pair/train-00000-of-00001.parquet"),
         {"train": ["pair-class/train-00000-of-00001.parquet"]}),
        ("o/n", named("train.csv", "more/train.csv"), {"train": ["train.csv"]}),
        ("o/n:de",
         named("data/sts-de-train.csv", "data/sts-en-train.csv", "data/sts-de-dev.csv", "data/sts-en-dev.csv"),
         {"train": ["data/sts-de-train.csv"], "dev": ["data/sts-de-dev.csv"]}),
        ("o/n:mismatched",
         named("default/train/0.parquet", "default/val_matched/0.parquet", "default/val_mismatched/0.parquet"),
         {"train": ["default/train/0.parquet"], "dev": ["default/val_mismatched/0.parquet"]}),
        ("o/n", named("train.csv", "train_hard.csv"), {"train": ["train.csv"]}),
        ("o/n", named("pairs.csv"), {"train": ["pairs.csv"]}),
        ("o/n", OF_CARD, {"train": ["other/x.jsonl"]}),
        ("o/n:graded", OF_CARD, {"train": ["raw/a-1.csv", "raw/a-2.csv"], "dev": ["raw/b.csv"]}),
    ],
)  # fmt: skip
def test_a_layout_is_understood(hub, setting, files, expected):
    commit = hub.add_dataset("o/n", files)

    found = fetch_splits(setting, (), optional=("train", "dev", "test"))

    assert relative(found) == expected
    assert found.source.rpartition("@")[2] == found.commit == commit
    assert sorted(set(hub.fetched) - {"o/n/README.md"}) == sorted(
        f"o/n/{path}" for paths in expected.values() for path in paths
    )
    assert ("o/n/README.md" in hub.fetched) is (files is OF_CARD)


def test_a_split_that_the_hub_converted_in_part_is_noted(hub):
    hub.add_dataset(
        "o/n", {"mr/partial-train/0000.parquet": table("a"), "mr/test/0000.parquet": table("b")}, revision=CONVERTED
    )

    found = fetch_splits(f"o/n:mr@{CONVERTED}", ("train", "test"))

    assert relative(found)["train"] == ["mr/partial-train/0000.parquet"]
    assert found.note == "train is partial: the hub converts the first part of a large split only"


MR_AND_HI = named("mr/train.csv", "hi/train.csv", "pa/train.csv")


@pytest.mark.parametrize(
    ("setting", "files", "expected"),
    [
        ("o/n", MR_AND_HI, "o/n has 3 configs: hi, mr, pa. Give one of them, such as o/n:hi."),
        ("o/n:mrr", MR_AND_HI, "o/n has no config 'mrr'. Did you mean mr?"),
        ("o/n:xx", MR_AND_HI, "o/n has no config 'xx'. It has hi, mr, pa."),
        ("o/n:xx", named("train.csv"), "o/n has no config 'xx'. It has none at all: give o/n."),
        ("o/n:mr", named("mr/test.csv", "mr/dev.csv", "hi/train.csv"),
         "config mr, has no train split; it has dev, test (mr/dev.csv, mr/test.csv). Give another config or data set, "
         "or local files."),
        ("o/n", named("data/sts-de-train.csv", "data/sts-en-train.csv"),
         "could each be the split train. Name one as the config, by a word that the others lack: de, en."),
        ("o/n@main", SCRIPT,
         "that can be read; it has .gitattributes, README.md, indicxnli.py. The hub's conversion is o/n@"),
        ("o/n:mr@main", SCRIPT, "The hub's conversion is o/n:mr@refs/convert/parquet, if there is one."),
    ],
)  # fmt: skip
def test_a_missing_config_or_split_is_refused_with_those_that_exist(hub, setting, files, expected):
    hub.add_dataset("o/n", files)

    assert expected in refusal(setting)
    assert not [path for path in hub.fetched if not path.endswith(".md")]


def test_a_program_without_a_conversion_is_not_run(hub):
    hub.add_dataset("o/indicxnli", {**SCRIPT, "languages.csv": b"mr\nhi\n"})

    message = refusal("o/indicxnli", error=HubError)

    assert "its conversion was not found: The data set o/indicxnli has no revision 'refs/convert/parquet'." in message
    assert message.endswith(
        "Loading scripts are not run here: convert o/indicxnli to parquet, csv or jsonl where you trust its script, "
        "and give the folder."
    )


@pytest.mark.parametrize(
    "card", [b"---\nconfigs: [1, 2\n---", b"---\nconfigs: 3\n---", b"---\nconfigs: [3]\n---", b"no front", b"\xff\xfe"]
)
def test_a_readme_that_declares_nothing_is_left_alone(hub, card):
    hub.add_dataset("o/n", {"README.md": card, **MR_AND_HI})

    assert refusal("o/n").startswith("o/n has 3 configs: hi, mr, pa.")


def test_a_refusal_of_the_hub_is_reported_in_its_words(hub):
    hub.add_dataset("o/gated", named("train.csv"))
    hub.close("dataset", "o/gated", gated=True)
    hub.add_dataset("o/broken", named("train.csv"))
    hub.fail("o/broken/train.csv", Fault(damage=True, times=2))

    assert f"Accept them at {hub.endpoint}/datasets/o/gated" in refusal("o/gated", error=HubError)
    assert "train.csv of the data set o/broken arrived damaged" in refusal("o/broken", error=HubError)
    assert "shows no data set o/gone" in refusal("o/gone", error=HubError)
    assert "names no data set on a hub. Expected org/name" in refusal("a b")


def test_a_packed_file_arrives_packed(hub):
    body = gzip.compress(b"a,b\n1,2\n")
    hub.add_dataset("o/n", {"train.csv.gz": body})

    assert fetch_splits("o/n", ("train",)).files["train"][0].read_bytes() == body
