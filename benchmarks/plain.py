"""The plain alternative: prune, train and evaluate with sentence-transformers alone, without tracking or checks.

    python benchmarks/plain.py --recipe minilm --layers 3 --nli-data NLI.tsv --sts-data STSB --nli-max-rows 20000

Rows, losses, batch sizes, epochs and learning rates are the recipe's; everything else has the Trainer's defaults, with
bfloat16 where the machine supports it. `--with-reference` trains the unpruned base as well, as the first `full` of a
recipe does; a recipe that distils needs it. The phase `distil` is sentence-transformers' own: the mean squared error to
the teacher's embeddings of the same sentences. The teacher's part in the labelled phases is left out.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
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
    teacher = None
    for selection in (*([LayerSelection.all(depth)] if with_reference or _distils(recipe) else []), chosen):
        started = time.perf_counter()
        trained = train_plainly(recipe, inputs, selection, teacher=teacher)
        phases = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in trained.seconds.items())
        total = time.perf_counter() - started
        print(f"plain  layers {selection}: test Spearman {trained.score:.4f}; {phases}, all {total:.0f} s", flush=True)
        teacher = trained.model


def _distils(recipe: Recipe) -> bool:
    return "distil" in recipe.phases


@dataclass(frozen=True)
class Trained:
    """A model, its Spearman correlation on a split, and the seconds of its phases."""

    model: Any
    score: float
    seconds: dict[str, float]


def train_plainly(
    recipe: Recipe, inputs: PruneInputs, selection: LayerSelection, *, teacher: Any = None, split: str = "test"
) -> Trained:
    """Train one variant; without a teacher, the phase `distil` is left out."""
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
    rows = sample_by_premise(rows, recipe.nli.max_rows, seed=recipe.seed) if recipe.nli.max_rows else rows
    examples = [tuple(row[:3]) for row in triplets(rows)]
    pairs = find_sts(recipe).value
    train = pairs.train.rows[: recipe.sts.max_rows]
    sentences = sorted({text for row in (*rows, *train) for text in row.sentences})

    def phase(name: str) -> tuple[Any, Any]:
        if name == "nli":
            columns = dict(zip(("anchor", "positive", "negative"), zip(*examples, strict=True), strict=True))
            both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
            options = both if recipe.nli.directions == "both" else {}
            return columns, losses.MultipleNegativesRankingLoss(model, scale=recipe.nli.scale, **options)
        if name == "distil":
            embedded = teacher.encode(sentences, batch_size=recipe.distil.batch_size, show_progress_bar=False)
            return {"sentence": sentences, "label": list(embedded)}, losses.MSELoss(model)
        columns = {"sentence1": [row.sentence1 for row in train], "sentence2": [row.sentence2 for row in train]}
        return columns | {"score": [row.score for row in train]}, losses.CosineSimilarityLoss(model)

    seconds = {}
    for name in (one for one in recipe.phases if one != "distil" or teacher is not None):
        started = time.perf_counter()
        columns, loss = phase(name)
        _train(model, Dataset.from_dict(columns), loss, getattr(recipe, name), recipe.seed)
        seconds[name] = time.perf_counter() - started

    evaluated = getattr(pairs, split).rows
    evaluator = EmbeddingSimilarityEvaluator(
        [row.sentence1 for row in evaluated],
        [row.sentence2 for row in evaluated],
        [row.score for row in evaluated],
        write_csv=False,
    )
    return Trained(model, float(evaluator(model)["spearman_cosine"]), seconds)


def _train(model: Any, dataset: Any, loss: Any, settings: PhaseSettings, seed: int) -> None:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    from sbert_prune.training.device import choose_hardware

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


if __name__ == "__main__":
    main()
