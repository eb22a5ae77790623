"""What a search leaves on its run: the answer as a recipe, tables, pictures, and whether it was worth it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.steps import records
from sbert_prune.metrics import STS_DEV
from sbert_prune.recipe.dump import dump_recipe
from sbert_prune.report.tables import table, table_lines
from tuning.artifacts import BYTES_MB, Candidate, pareto_front
from tuning.benefit import Benefit, Drawn, agreement
from tuning.charts import front_chart, history_chart, influence_chart, layer_map
from tuning.space import as_flat
from tuning.study import KEPT, LOOKS, METRICS, ORIGIN, REASON, VERSION, held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from tuning.context import SearchContext
    from tuning.finals import Finalist
    from tuning.proposals import Controls
    from tuning.screening import Screened
    from tuning.study import Held

_TRIALS = ("trial", "from", "layers", "dev", "MB", "training", "model")
_WORTH = ("what", "dev", "the search is better by")
_TAUS = ("fidelity", "the next", "Kendall's tau", "with full training", "trials")
_SHOWN = 12
_ABOUT_TAU = (
    """Kendall's tau of two rankings of the same trials and controls: 1 is the same order, 0 no relation. What was stopped is not in it."""
)


@dataclass(frozen=True)
class SearchReport:
    """What became of a search. why: the finalist was chosen.  version: its variant.  floor: of word embeddings alone."""

    bench: SearchContext
    screened: Screened | None
    controls: Controls
    finalists: tuple[Finalist, ...]
    chosen: Finalist
    why: str
    version: Version
    reference: Version
    floor: float | None

    @property
    def complete(self) -> list[Held]:
        """The trials that were trained to their end, best first."""
        return sorted((one for one in held(self.bench.study) if one.is_complete), key=lambda one: (-one.score, one.number))

    def worth(self) -> Benefit:
        """Was it worth it: by the score of one training each, as the others have."""
        trials = [one for one in held(self.bench.study) if one.counts]
        seconds = sum(one.seconds for one in trials) + sum(one.seconds for one in self.finalists)
        if self.screened is not None:
            seconds += self.screened.seconds + self.screened.training_seconds
        named, drawn = self.controls.scores()
        return Benefit(
            found=next(one for one in self.complete if not one.is_control).score,
            seconds=seconds,
            drawn=Drawn(tuple(one.score for one in drawn), sum(one.seconds for one in drawn) / len(drawn)) if drawn else None,
            named={name: one.score for name, one in named.items()},
            reference=self.reference.metrics.get(STS_DEV),
            floor=self.floor,
        )

    def taus(self) -> list[tuple[str, str, str, str, str]]:
        """How far each fidelity ranks trials as the next one does, and as full training does."""
        return tau_rows(self.complete, self.screened)


def tau_rows(complete: Sequence[Held], screened: Screened | None) -> list[tuple[str, str, str, str, str]]:
    """A row a fidelity, cheapest first."""
    fidelities: dict[str, dict[int, float]] = {}
    for measure in screened.measures if screened else ():
        values = screened.of(measure) if screened else {}
        fidelities[measure] = {one.number: values[one.say(KEPT)] for one in complete if one.say(KEPT) in values}
    for number in range(max((len(one.say(LOOKS) or []) for one in complete), default=0)):
        fidelities[f"look {number + 1}"] = {one.number: one.say(LOOKS)[number][0] for one in complete if len(one.say(LOOKS) or []) > number}
    fidelities["full training"] = {one.number: one.score for one in complete}
    rows = []
    full = fidelities["full training"]
    for (name, before), (following, after) in pairwise(fidelities.items()):
        shared = [number for number in before if number in after]
        with_next = agreement([(before[number], after[number]) for number in shared])
        with_full = agreement([(before[number], full[number]) for number in before])
        rows.append((name, following, _tau(with_next), _tau(with_full), str(len(shared))))
    return rows


def _tau(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def publish(run: Run, outcome: SearchReport) -> list[str]:
    """Log all of it; returns the lines for people."""
    worth, complete = outcome.worth(), outcome.complete
    shown = [_trial_row(one) for one in complete[:_SHOWN]]
    records.publish(run, outcome.version, outcome.bench.inputs)
    run.set_tags({"trial": str(outcome.chosen.trial.number), "worth_it": worth.line()})
    rival = {} if worth.rival is None else {"search/over_rival": worth.found - worth.rival}
    counts = {f"search/{state}": float(number) for state, number in _states(outcome).items()}
    run.log_metrics({"search/dev": worth.found, "search/training_seconds": worth.seconds, **rival, **counts})
    run.log_text(dump_recipe(outcome.chosen.recipe), "best_recipe.yaml")
    run.log_json([_as_json(one) for one in held(outcome.bench.study)], "trials.json")
    if outcome.screened is not None:
        screened = outcome.screened
        rows = [
            {"layers": str(one)} | {name: values[place] for name, values in screened.measures.items()}
            for place, one in enumerate(screened.selections)
        ]
        run.log_json(rows, "screening.json")
    run.log_text(_page(outcome, worth), "report.md")
    run.log_figure(front_chart(complete, outcome.bench.aim), "front.png")
    run.log_figure(layer_map(complete, outcome.bench.space.depth), "layers.png")
    run.log_figure(influence_chart(outcome.bench.study, complete, outcome.bench.space.depth), "influence.png")
    run.log_figure(history_chart(held(outcome.bench.study)), "history.png")
    return [
        "",
        *table_lines(_TRIALS, shown),
        "",
        *table_lines(_WORTH, worth.rows()),
        "",
        *_fidelity_lines(outcome),
        f"worth it  {worth.line()}",
    ]


def _fidelity_lines(outcome: SearchReport) -> list[str]:
    rows = outcome.taus()
    return [*table_lines(_TAUS, rows), ""] if rows else []


def _states(outcome: SearchReport) -> dict[str, int]:
    """Trials by what became of them."""
    trials = held(outcome.bench.study)
    found = {"complete": 0, "stopped": 0, "failed": 0, "answered": 0}
    for one in trials:
        if one.say("answered"):
            found["answered"] += 1
        elif one.counts:
            found[{"COMPLETE": "complete", "PRUNED": "stopped"}.get(one.state.name, "failed")] += 1
    return found


def _trial_row(one: Held) -> tuple[str, ...]:
    metrics = one.say(METRICS)
    size, seconds = f"{metrics[BYTES_MB]:.1f}", f"{one.seconds:.0f} s"
    return (str(one.number), str(one.say(ORIGIN)), str(one.say(KEPT)), f"{one.score:.4f}", size, seconds, f"version {one.say(VERSION)}")


def _as_json(one: Held) -> dict[str, object]:
    return {
        "trial": one.number,
        "state": one.state.name,
        "values": one.trial.values,
        "params": one.trial.params,
        **{key: value for key, value in one.trial.user_attrs.items() if key != "process"},
    }


def _page(outcome: SearchReport, worth: Benefit) -> str:
    """The page in Markdown."""
    bench, chosen = outcome.bench, outcome.chosen
    states = ", ".join(f"{number} {state}" for state, number in _states(outcome).items())
    settings = "".join(f", {name} {value}" for name, value in as_flat(bench.space.point(chosen.trial.trial.params)).items())
    front = {one.number for one in pareto_front([Candidate.held(one, bench.aim) for one in outcome.complete])}
    finalists = [
        (
            one.trial.number,
            one.recipe.layers,
            f"{one.mean:.4f}",
            ", ".join(f"{seed}: {score:.4f}" for seed, score in sorted(one.scores.items())),
        )
        for one in outcome.finalists
    ]
    stopped = [(one.number, one.say(KEPT), one.say(REASON)) for one in held(bench.study) if one.say(REASON)]
    rows = [(*_trial_row(one), "yes" if one.number in front else "") for one in outcome.complete]
    answer = f"trial {chosen.trial.number}, layers {chosen.recipe.layers}{settings}, {outcome.version.uri}"
    parts = [
        f"# The search: {bench.space}",
        f"- aim: {bench.aim}\n- trials: {states}\n- answer: {answer}\n- why: {outcome.why}\n"
        "- its recipe: best_recipe.yaml (-P recipe=best_recipe.yaml makes it again)",
        f"## Was it worth it\n\n{worth.line()}.\n\n{table(_WORTH, worth.rows())}",
        f"## Trials trained to their end\n\n{table((*_TRIALS, 'front'), rows)}",
        f"## Finalists\n\n{table(('trial', 'layers', 'mean dev', 'by seed'), finalists)}",
        f"## What each fidelity was worth\n\n{_ABOUT_TAU}\n\n{table(_TAUS, outcome.taus())}",
        "![Score against cost](front.png)\n\n![Layers kept, best first](layers.png)\n\n![What goes with a better score](influence.png)\n\n"
        "![Trial by trial](history.png)",
        f"## Stopped and failed\n\n{table(('trial', 'layers', 'why'), stopped)}" if stopped else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
