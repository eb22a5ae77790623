"""The plain alternative: prune, train and evaluate with sentence-transformers alone, without tracking or checks.

    python benchmarks/plain.py --recipe minilm --layers 3 --nli-data NLI.tsv --sts-data STSB --nli-max-rows 20000

Rows, losses, batch sizes, epochs and learning rates are the recipe's; everything else has the Trainer's defaults, with
bfloat16 where the machine supports it. `--with-reference` trains the unpruned base as well, as the first `full` of a
recipe does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipelines.commands.options import RECIPE_PARAMETERS, recipe_options
from pipelines.inputs.base import PruneInputs, find_base
from sbert_prune.inputs.data import find_nli, find_sts
from sbert_prune.layers import LayerSelection
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.recipe.settings import PhaseSettings
from sbert_prune.strategies import choose_layers


@click.command()
@recipe_options(*(name for name in RECIPE_PARAMETERS if name != "recipe"))
@click.option("--with-reference", is_flag=True, help="Train the unpruned base as well.")
def main(recipe: Recipe, with_reference: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Train with SentenceTransformerTrainer and print the test score and the seconds of each phase."""
    inputs = find_base(recipe)
    depth = inputs.base.checkpoint.depth
    chosen = choose_layers(inputs.cuts[-1], strategy=recipe.strategy, depth=depth)
    if chosen is None or len(inputs.cuts) > 1:
        raise click.UsageError(
            f"strategy={recipe.strategy}, layers={', '.join(inputs.cuts)}: the plain script prunes once, by position."
        )
    for selection in (*([LayerSelection.all(depth)] if with_reference else []), chosen):
        started = time.perf_counter()
        score, nli_s, sts_s = train_plainly(recipe, inputs, selection)
        total = time.perf_counter() - started
        print(
            f"plain  layers {selection}: test Spearman {score:.4f}; "
            f"NLI {nli_s:.0f} s, STS {sts_s:.0f} s, all {total:.0f} s",
            flush=True,
        )


def train_plainly(
    recipe: Recipe, inputs: PruneInputs, selection: LayerSelection, *, split: str = "test"
) -> tuple[float, float, float]:
    """Train one variant; return its Spearman correlation on a split and the seconds of both phases."""
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, losses
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
    from torch import nn

    from sbert_prune.data.triplets import sample_by_premise, triplets

    model = SentenceTransformer(str(inputs.base.folder), device="cpu", model_kwargs={"dtype": torch.float32})
    model.max_seq_length = recipe.max_seq_length
    encoder = model[0].auto_model
    encoder.encoder.layer = nn.ModuleList([encoder.encoder.layer[index] for index in selection.kept])
    encoder.config.num_hidden_layers = selection.num_layers

    rows = find_nli(recipe, None).value.rows
    examples = triplets(sample_by_premise(rows, recipe.nli.max_rows, seed=recipe.seed) if recipe.nli.max_rows else rows)
    columns = ("anchor", "entailment", "contradiction")
    nli = Dataset.from_dict({column: [getattr(row, column) for row in examples] for column in columns})
    nli_s = _phase(
        model, nli, losses.MultipleNegativesRankingLoss(model, scale=recipe.nli.scale), recipe.nli, recipe.seed
    )

    pairs = find_sts(recipe).value
    train = pairs.train.rows[: recipe.sts.max_rows]
    sts = Dataset.from_list(
        [{"sentence1": row.sentence1, "sentence2": row.sentence2, "score": row.score} for row in train]
    )
    sts_s = _phase(model, sts, losses.CosineSimilarityLoss(model), recipe.sts, recipe.seed)

    evaluated = getattr(pairs, split).rows
    evaluator = EmbeddingSimilarityEvaluator(
        [row.sentence1 for row in evaluated],
        [row.sentence2 for row in evaluated],
        [row.score for row in evaluated],
        write_csv=False,
    )
    return float(evaluator(model)["spearman_cosine"]), nli_s, sts_s


def _phase(model: Any, dataset: Any, loss: Any, settings: PhaseSettings, seed: int) -> float:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    from sbert_prune.training.device import choose_hardware

    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            warmup_steps=settings.warmup_ratio,  # as a float, a share of the steps
            bf16=choose_hardware("cpu", "auto").bfloat16,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
