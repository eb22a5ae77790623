r"""Train every selection of layers fully, for a search to be compared with.

    python benchmarks/brute_force.py truth.jsonl --recipe minilm --layers 3 \
        --nli-data NLI --sts-data STSB --nli-max-rows 3000

Writes a line a selection: its layers, the dev score and the training seconds. The same command resumes.
"""

from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import click


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--recipe", default="quickstart", show_default=True)
@click.option("--layers", required=True, type=int)
@click.option("--nli-data", default="")
@click.option("--sts-data", default="")
@click.option("--nli-max-rows", default="")
@click.option("--sts-epochs", default="")
@click.option("--seed", default="42", show_default=True)
def main(out: Path, recipe: str, layers: int, **options: str) -> None:
    """Train the selections that have no line yet, and print the best."""
    from pipelines.commands.options import recipe_from
    from pipelines.inputs.load import load_inputs
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.saved_model import lineage_of
    from sbert_prune.models.sentence import load_saved, with_pooling
    from sbert_prune.pruning import prune_checkpoint
    from sbert_prune.training.device import choose_hardware
    from sbert_prune.training.embedding import DevPairs
    from sbert_prune.training.phases import PhaseTrainer
    from sbert_prune.training.setup import TrainerSetup

    settings = {"recipe": recipe, "layers": str(layers), "strategy": "drop-top"}
    whole = recipe_from(settings | {name: value or None for name, value in options.items()})
    inputs = load_inputs(whole)
    base, texts, hardware = inputs.pruning.base, inputs.texts, choose_hardware("cpu", "float32")
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    trained = {tuple(line["kept"]) for line in lines}
    for kept in combinations(range(base.checkpoint.depth), layers):
        if kept in trained:
            continue
        with TemporaryDirectory() as scratch:
            selection = LayerSelection(kept, base.checkpoint.depth)
            cut = prune_checkpoint(base.folder, selection, Path(scratch) / "cut", lineage=lineage_of(base))
            model = with_pooling(load_saved(cut), whole.pooling, max_seq_length=whole.max_seq_length)
        started = time.perf_counter()
        trainer = PhaseTrainer(model, TrainerSetup(hardware, whole.seed, lambda _: None), dev=texts.sts.dev.rows)
        if texts.nli is not None:
            trainer.train("nli", texts.nli.rows, whole.nli)
        trainer.train("sts", texts.sts.train.rows, whole.sts)
        seconds = time.perf_counter() - started
        score = DevPairs.of(model, texts.sts.dev.rows).score(model, hardware)
        lines.append({"kept": kept, "dev": score, "seconds": seconds})
        with out.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(f"{selection} dev {score:.4f} {seconds:.0f} s", flush=True)
    best = max(lines, key=lambda line: line["dev"])
    total = sum(line["seconds"] for line in lines)
    print(
        f"BRUTE FORCE {len(lines)} selections in {total:,.0f} s of training: best {best['kept']} dev {best['dev']:.4f}"
    )


if __name__ == "__main__":
    main()
