"""Where the time of `full`, or of the plain script, goes: seconds of each part, and the phases' floating-point rate.

    python benchmarks/breakdown.py full -- --layers 6
    python benchmarks/breakdown.py plain -- --layers 6

The command runs in this process, in the current folder, with a timer around the functions of PARTS; a part that calls
another does not count its time. Beside the rate of each phase stands that of one float32 matrix product as wide as the
encoder, on as many threads: 4,096 tokens times a square matrix. The rate counts what the layers' matrices do to real
tokens, forward and backward, and neither padding nor attention.
"""

from __future__ import annotations

import sys
import time

_STARTED = time.perf_counter()

import importlib
import inspect
import json
import threading
from collections import Counter, defaultdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[1]))

IMPORTS, REST = "imports", "the rest"

COMMON = {
    "data": ("sbert_prune.inputs.data:find_nli", "sbert_prune.inputs.data:find_sts"),
}
PARTS = {
    "full": COMMON
    | {
        "data": (*COMMON["data"], "pipelines.inputs.load:load_inputs", "pipelines.inputs.load:check_disk_space"),
        "tokenising": ("sbert_prune.training.batches:tokenize", "sbert_prune.training.phases:plan_batches"),
        "pruning": ("pipelines.steps.prune:prune",),
        "phase {1}": ("sbert_prune.training.phases:PhaseTrainer.train",),
        "teacher's embeddings": ("sbert_prune.training.teacher:Teacher.embed",),
        "dev checks": ("sbert_prune.training.embedding:DevPairs.score",),
        "judging: embeddings": ("sbert_prune.evaluation.embeddings:embed_once",),
        "judging: STS": ("sbert_prune.evaluation.sts:StsMeasure.measure",),
        "judging: geometry": ("sbert_prune.evaluation.geometry:GeometryMeasure.measure",),
        "judging: retrieval": ("sbert_prune.evaluation.retrieval:RetrievalMeasure.measure",),
        "judging: robustness": (
            "sbert_prune.evaluation.robustness:RobustnessMeasure.measure",
            "sbert_prune.evaluation.robustness:RobustnessMeasure.texts",
        ),
        "judging: speed": (
            "sbert_prune.evaluation.efficiency.speed:measure_speed",
            "sbert_prune.evaluation.efficiency.flops:measure_flops",
        ),
        "judging: layers": ("sbert_prune.layer_analysis.anatomy:inspect_layers",),
        "judging: report and pictures": (
            "pipelines.steps.judgement_log:log_numbers",
            "pipelines.steps.judgement_log:report_of",
        ),
        "judging: the rest": ("pipelines.steps.evaluate:evaluate",),
        "loading models": ("sbert_prune.models.sentence:load_saved",),
        "saving models": ("sbert_prune.models.sentence:save_sentence_model", "pipelines.steps.records:save"),
        "round trip": ("sbert_prune.models.roundtrip:reload_in_fresh_process",),
        "MLflow": (
            "mlflow.tracking.client:MlflowClient.*",
            "sbert_prune.tracking.logged_models:*",
            "sbert_prune.tracking.spool:Outbox.*",
            "pipelines.steps.context:open_store",
            "pipelines.steps.register:register",
        ),
    },
    "plain": COMMON
    | {
        "phase {2}": ("benchmarks.plain:_train",),
        "teacher's embeddings": ("sentence_transformers.sentence_transformer.model:SentenceTransformer.encode",),
        "judging: STS": (
            "sentence_transformers.sentence_transformer.evaluation:EmbeddingSimilarityEvaluator.__call__",
        ),
        "the script": ("benchmarks.plain:train_plainly",),
    },
}
"""The functions of each part; `{1}` stands for their argument of that number. Only the first thread is timed."""


class Stopwatch:
    """Seconds of each part; the innermost part that is open gets the time."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._open, self._since = [REST], time.perf_counter()

    def begin(self, part: str) -> None:
        """Open a part."""
        self._charge()
        self._open.append(part)

    def end(self) -> None:
        """Close the part that was opened last."""
        self._charge()
        self._open.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now


def timed(watch: Stopwatch, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a timer around it, in the thread that made the stopwatch."""
    thread = threading.get_ident()

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return function(*args, **kwargs)
        watch.begin(part if "{" not in part else part.format(*map(_shown, args)))
        try:
            return function(*args, **kwargs)
        finally:
            watch.end()

    return run


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else type(value).__name__


def time_parts(watch: Stopwatch, parts: dict[str, tuple[str, ...]]) -> None:
    """Put timers around the functions of all parts, wherever a module has imported them."""
    # Python itself calls this attribute for each module that is not loaded yet; `-X importtime` looks here as well.
    importlib._bootstrap._find_and_load = timed(  # type: ignore[attr-defined]
        watch,
        IMPORTS,
        importlib._bootstrap._find_and_load,  # type: ignore[attr-defined]
    )
    for part, places in parts.items():
        for place in places:
            module_name, _, path = place.partition(":")
            owner: Any = importlib.import_module(module_name)
            *classes, name = path.split(".")
            for class_name in classes:
                owner = getattr(owner, class_name)
            names = [name] if name != "*" else [key for key in vars(owner) if _is_own_function(owner, key)]
            for found in names:
                _replace(owner, found, timed(watch, part, getattr(owner, found)))


def _is_own_function(owner: Any, name: str) -> bool:
    value = vars(owner)[name]
    home = owner.__name__ if inspect.ismodule(owner) else owner.__module__
    return (
        inspect.isfunction(value)
        and value.__module__ == home
        and not inspect.isgeneratorfunction(inspect.unwrap(value))
    )


def _replace(owner: Any, name: str, by: Callable[..., Any]) -> None:
    before = getattr(owner, name)
    setattr(owner, name, by)
    if inspect.ismodule(owner):
        for module in list(sys.modules.values()):
            for key, value in list(getattr(module, "__dict__", {}).items()):
                if value is before:
                    setattr(module, key, by)


class Rate:
    """Floating-point operations of the encoder's layers in each phase, counted by a hook before the encoder."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch, self.width = watch, 0
        self.operations: defaultdict[str, float] = defaultdict(float)

    def __call__(self, module: Any, args: tuple[Any, ...]) -> None:
        """Count a forward pass, and the backward pass that follows."""
        part = self.watch._open[-1]
        if not part.startswith("phase ") or not module.training:
            return
        from sbert_prune.models.architectures import layers_of

        encoder = module.auto_model
        self.width = encoder.config.hidden_size
        weights = sum(
            weight.numel() for layer in layers_of(encoder) for weight in layer.parameters() if weight.dim() == 2
        )
        self.operations[part] += 6 * weights * float(args[0]["attention_mask"].sum())


def product_rate(width: int, *, tokens: int = 4096, seconds: float = 1.0) -> float:
    """Return the operations per second of a float32 product of a (tokens, width) and a (width, width) matrix."""
    import torch

    left, right = torch.randn(tokens, width), torch.randn(width, width)
    left @ right
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        left @ right
        count += 1
    return 2 * tokens * width * width * count / elapsed


@click.command()
@click.argument("command", type=click.Choice(["full", "plain"]))
@click.argument("arguments", nargs=-1)
def main(command: str, arguments: tuple[str, ...]) -> None:
    """Run the command and print the seconds of its parts, as JSON in the last line."""
    watch = Stopwatch()
    watch.seconds[IMPORTS] += time.perf_counter() - _STARTED
    watch.begin(IMPORTS)
    time_parts(watch, PARTS[command])
    from sentence_transformers.sentence_transformer.modules import Transformer

    rate = Rate(watch)
    forward = Transformer.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        rate(self, args)
        return forward(self, *args, **kwargs)

    Transformer.forward = counted  # type: ignore[method-assign]
    run = importlib.import_module("tuning.__main__" if command == "full" else "benchmarks.plain").main
    watch.end()
    given = ["full", *arguments] if command == "full" else ["--with-reference", *arguments]
    run.main(given, standalone_mode=False)
    watch.begin(REST)
    phases = {part: done / watch.seconds[part] / 1e9 for part, done in rate.operations.items()}
    of_product = product_rate(rate.width) / 1e9 if rate.width else 0.0
    print(json.dumps({"seconds": dict(watch.seconds), "gflops": phases, "product_gflops": of_product}))


if __name__ == "__main__":
    main()
