"""Make the registry of an earlier version that later versions have to open: `python make_store.py FOLDER`.

Run once, at the version that README.md names. It is not run again: what it made then is the point.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from sbert_prune.data.quickstart.generator import generate_nli, generate_sts

RECIPE = """\
name: old
about: "three layers, 32 wide"
extends: quickstart
base_model: base
layers: 2
max_seq_length: 32
robustness: 10
precision: float32
registered_model: old
nli: {data: nli.tsv, epochs: 4, batch_size: 16}
sts: {data: sts, epochs: 2, batch_size: 16}
"""
FULL = ("full", "--recipe", "old.yaml")
KILLED = (*FULL, "--layers", "1", "--strategy", "drop-bottom", "--checkpoint-minutes", "0")


def write_rows(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])


def make_data() -> list[str]:
    """NLI and STS rows of the quickstart's generator. Returns their sentences."""
    Path("sts").mkdir()
    nli = [(row.premise, row.hypothesis, row.label.value) for row in generate_nli("train", num_scenes=60)]
    write_rows(Path("nli.tsv"), ("premise", "hypothesis", "label"), nli)
    texts = [text for row in nli for text in row[:2]]
    for split, count in (("train", 96), ("dev", 80), ("test", 80)):
        pairs = [
            (row.sentence1, row.sentence2, round(row.score * 5, 2)) for row in generate_sts(split, num_pairs=count)
        ]
        write_rows(Path("sts") / f"{split}.csv", ("sentence1", "sentence2", "score"), pairs)
        texts += [text for pair in pairs for text in pair[:2]]
    return texts


def make_base(texts: list[str]) -> None:
    """A BERT encoder with random weights and a WordPiece vocabulary of 400 pieces."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{piece.strip('[]').lower()}_token": piece for piece in special}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=40, **names).save_pretrained("base")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=40, initializer_range=0.2, **sizes
    )
    BertModel(config).save_pretrained("base")


def call(*arguments: str, module: str = "pipelines", status: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    print(f"$ python -m {module} {' '.join(arguments)}\n{done.stdout}{done.stderr}", flush=True)
    assert done.returncode == status, done.returncode
    return done.stdout


def checkpoint() -> str:
    """The newest checkpoint's optimizer step, as its folder is called; "" where there is none."""
    with suppress(FileNotFoundError):
        return max((path.name for path in Path(".sbert-prune/unfinished").glob("*/*/[0-9]*")), default="")
    return ""


def kill_on_the_way() -> None:
    """Begin a variant, and kill the command without a warning in its first phase."""
    with Path("killed.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "pipelines", *KILLED], stdout=log, stderr=subprocess.STDOUT)
    while checkpoint() < "000000006" and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(Path("killed.log").read_text())
    assert process.returncode == -signal.SIGKILL
    assert checkpoint() >= "000000006"
    Path("killed.log").unlink()


def describe() -> dict[str, object]:
    """What a later version has to find in the store."""
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer

    client = MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    versions = client.search_model_versions("name = 'old'")
    loadable = [version for version in versions if version.tags.get("sbert_prune.bytes") != "let go"]
    folders = {
        str(version.version): Path("mlruns/0/models")
        / version.tags["sbert_prune.model_id"]
        / "artifacts/model.sentence_transformer"
        for version in loadable
    }
    sentence = "A dog runs."
    return {
        "folder": str(Path.cwd()),
        "killed": KILLED,
        "sentence": sentence,
        "embeddings": {
            number: SentenceTransformer(str(folder), device="cpu").encode(sentence).tolist()
            for number, folder in folders.items()
        },
        "versions": {
            str(version.version): {"stage": version.current_stage, "run_id": version.run_id, "tags": dict(version.tags)}
            for version in versions
        },
        "aliases": {alias: str(number) for alias, number in client.get_registered_model("old").aliases.items()},
        "runs": {
            run.info.run_id: [run.info.run_name, run.info.status] for run in client.search_runs(["0"], max_results=1000)
        },
    }


def main(folder: str) -> None:
    Path(folder).mkdir(parents=True)
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    Path("old.yaml").write_text(RECIPE)
    make_base(make_data())
    call(*FULL)
    call(*FULL, "--layers", "1")
    name = ("--registered-model", "old")
    call("promote", *name, "--version", "2", "--margin", "1", "--reason", "the first")
    call("promote", *name, "--version", "3", "--margin", "0.000001", "--min-retention", "2", status=4)
    call("promote", *name, "--version", "3", "--force", "true", "--reason", "smaller")
    call("rollback", *name, "--reason", "wrong answers")
    given = (
        "--layers",
        "2",
        "--trials",
        "3",
        "--space",
        "layers",
        "--screening",
        "untrained",
        "--finalists",
        "1",
        "--keep-models",
        "1",
    )
    call("search", "--recipe", "old.yaml", *given, module="tuning")
    call("verify")
    kill_on_the_way()
    Path("expected.json").write_text(json.dumps(describe(), indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
