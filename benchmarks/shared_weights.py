r"""How well shared weights rank selections of layers, beside full training, by how long they are trained.

    python benchmarks/shared_weights.py truth.jsonl --epochs 0.5,1 --recipe minilm --layers 3 \
        --nli-data NLI --sts-data STSB

benchmarks/brute_force.py writes truth.jsonl, for the same recipe and data.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipelines.commands.options import RECIPE_PARAMETERS, recipe_options
from sbert_prune.recipe.recipe import Recipe


@click.command()
@click.argument("truth", type=click.Path(path_type=Path, exists=True))
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@click.option(
    "--epochs", default="0.5", show_default=True, help="Of the shared weights, as shares of the recipe's, with commas."
)
def main(truth: Path, recipe: Recipe, epochs: str) -> None:
    """Print Kendall's tau over the selections of the truth, and the best by the shared weights."""
    from scipy.stats import kendalltau

    from pipelines.inputs.load import load_inputs
    from sbert_prune.layer_analysis.subsets import embed_subsets
    from sbert_prune.layers import LayerSelection
    from sbert_prune.models.sentence import as_sentence_model
    from sbert_prune.training.device import choose_hardware
    from sbert_prune.training.phases import PhaseTrainer
    from sbert_prune.training.setup import TrainerSetup
    from sbert_prune.training.supernet import Subsets
    from tuning.screening import Pairs, shared_settings

    inputs, hardware = load_inputs(recipe), choose_hardware(recipe.device, recipe.precision)
    base, texts = inputs.pruning.base, inputs.texts
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    selections = [LayerSelection(tuple(line["kept"]), base.checkpoint.depth) for line in lines]
    scores, pairs = [line["dev"] for line in lines], Pairs.of(texts.sts.dev.rows)
    subsets = Subsets(base.checkpoint.depth, (selections[0].num_layers,), recipe.seed)
    for share in map(float, epochs.split(",")):
        model, started = as_sentence_model(base, recipe), time.perf_counter()
        trainer = PhaseTrainer(model, TrainerSetup(hardware, recipe.seed, lambda _: None), subsets=subsets)
        if texts.nli is not None:
            trainer.train("nli", texts.nli.rows, shared_settings(recipe.nli, share))
        trainer.train("sts", texts.sts.train.rows, shared_settings(recipe.sts, share))
        seconds = time.perf_counter() - started
        shared = {
            selection: pairs.score(vectors)
            for selection, vectors in embed_subsets(model, selections, pairs.texts, hardware)
        }
        tau = kendalltau([shared[selection] for selection in selections], scores).statistic
        best = sorted(selections, key=lambda selection: -shared[selection])[:4]
        print(
            f"SHARED {share:g} epochs, {seconds:.0f} s: tau {tau:.2f}; best {', then '.join(map(str, best))}",
            flush=True,
        )


if __name__ == "__main__":
    main()
