"""Pruning a MuRIL-sized checkpoint on disk, beside loading, slicing and saving it, and copying the kept bytes.

    python benchmarks/prune_checkpoint.py --layers 2 --rounds 5

Random weights, 12 layers x 768, 197,285 pieces, float32. Each way runs in a process of its own, in turn; imports are
not timed. "cut" gets the lineage of the base, as in every command; "cut, digest" does not, so it reads the whole base
once more for the SHA-256 in its lineage. Budget: 1.3 times the copy, and a peak of memory below the kept bytes + 200
MB.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

ROOT = Path(__file__).parents[1]

DIGEST = """
from sbert_prune.models.checkpoint import inspect_checkpoint
from sbert_prune.layers import LayerSelection
from sbert_prune.pruning import prune_checkpoint
from sbert_prune.models.saved_model import SavedModel, lineage_of
selection = LayerSelection(tuple(range(layers)), 12)
def work(): prune_checkpoint(Path(folder), selection, Path(out))
"""
CUT = f"""{DIGEST}
lineage = lineage_of(SavedModel("base", None, inspect_checkpoint(Path(folder))))
def work(): prune_checkpoint(Path(folder), selection, Path(out), lineage=lineage)
"""
PLAIN = """
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer
def work():
    model = AutoModel.from_pretrained(folder)
    model.encoder.layer = nn.ModuleList(list(model.encoder.layer)[:layers])
    model.config.num_hidden_layers = layers
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
"""
BASE = """
import sys
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import AutoModel, BertConfig, PreTrainedTokenizerFast
config = BertConfig(
    vocab_size=197_285, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072
)
AutoModel.from_config(config).save_pretrained(sys.argv[1])
pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}
PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordPiece(pieces, unk_token="[UNK]"))).save_pretrained(sys.argv[1])
"""
COPY = """
import shutil
def work(): shutil.copyfile(kept, out)
"""
WAYS = {"copy": COPY, "cut": CUT, "cut, digest": DIGEST, "plain": PLAIN}
TIMED = """
import json, re, sys, time
from pathlib import Path
folder, out, kept, layers = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
{way}
started = time.perf_counter()
work()
seconds = time.perf_counter() - started
# ru_maxrss would start with the peak of the parent.
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([seconds, int(peak_kb) / 1000]))
"""


@click.command()
@click.option("--layers", default=2, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(layers: int, rounds: int) -> None:
    """Print seconds and peak memory of each way, and the ratios."""
    with TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        subprocess.run([sys.executable, "-c", BASE, str(folder / "base")], check=True, capture_output=True)
        run(CUT, folder, layers)
        shutil.copyfile(folder / "out" / "model.safetensors", folder / "kept")
        kept_mb = (folder / "kept").stat().st_size / 1e6
        base_mb = (folder / "base" / "model.safetensors").stat().st_size / 1e6
        print(f"base {base_mb:,.0f} MB, kept {kept_mb:,.0f} MB ({layers} of 12 layers)")
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for _ in range(rounds):
            for name, way in WAYS.items():
                taken[name].append(run(way, folder, layers))
    for name, results in taken.items():
        seconds, peaks = zip(*results, strict=True)
        print(
            f"{name:11} {statistics.median(seconds):6.2f} s (from {min(seconds):.2f} to {max(seconds):.2f}), "
            f"peak {max(peaks):,.0f} MB"
        )
    for name, budget in (("copy", "  (budget 1.3)"), ("plain", "")):
        ratios = [ours[0] / other[0] for ours, other in zip(taken["cut"], taken[name], strict=True)]
        print(f"cut / {name}: {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}{budget}")
    print(f"peak memory of cut: {max(peak for _, peak in taken['cut']):,.0f} MB (budget {kept_mb + 200:,.0f} MB)")


def run(way: str, folder: Path, layers: int) -> tuple[float, float]:
    """Run one way in a process of its own; return seconds and peak memory in MB."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.unlink(missing_ok=True)
    arguments = [str(folder / "base"), str(out), str(folder / "kept"), str(layers)]
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(way=way), *arguments], check=True, capture_output=True, text=True, cwd=ROOT
    )
    seconds, peak = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, peak


if __name__ == "__main__":
    main()
