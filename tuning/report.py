"""The report of a search on its run: the answer as a recipe, tables, charts, and the benefit against baselines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.console import report_facts
from pipelines.steps import records
from sbert_prune.metrics import RETENTION, STS_DEV
from sbert_prune.recipe.dump import dump_recipe
from sbert_prune.report.html import Report
from sbert_prune.report.tables import table
from sbert_prune.system.command_line import command_line
from sbert_prune.system.table import table_lines
from tuning.artifacts import BYTES_MB, Candidate, pareto_front
from tuning.benefit import Benefit, RandomDraws, agreement
from tuning.charts import front_chart, history_chart, influence_chart, layer_map
from tuning.space import as_flat
from tuning.study import ANSWERED, KEPT_LAYERS, METRICS, ORIGIN, REASON, RUNG_SCORES, VERSION, stored_trials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.flows.next_step import Advice
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from tuning.context import SearchContext
    from tuning.finals import Finalist
    from tuning.proposals import Controls
    from tuning.screening import Screened
    from tuning.study import StoredTrial

_TRIAL_COLUMNS = ("trial", "from", "layers", "dev", "MB", "training", "model")
_BENEFIT_COLUMNS = ("what", "dev", "the search is better by")
_TAU_COLUMNS = ("fidelity", "the next", "Kendall's tau", "with full training", "trials")
_NUM_SHOWN = 12
_ABOUT_TAU = (
    "Kendall's tau of two rankings of the same trials and controls: 1 is the same order, 0 no relation. Stopped trials "
    "are not included."
)


@dataclass(frozen=True)
class SearchReport:
    """The results of a search.

    Attributes:
        search: What all trials share.
        screened: The scores of the screening; None without one.
        controls: The trials that the search is compared with.
        finalists: The finalists, best first.
        chosen: The finalist that is the answer.
        why: Why it was chosen.
        version: Its variant.
        advice: What to do with it.
        reference: The unpruned base after the same recipe.
        zero_layer: Dev score of the word embeddings alone; None where it cannot be had.
    """

    search: SearchContext
    screened: Screened | None
    controls: Controls
    finalists: tuple[Finalist, ...]
    chosen: Finalist
    why: str
    version: Version
    advice: Advice
    reference: Version
    zero_layer: float | None

    @property
    def complete(self) -> list[StoredTrial]:
        """Return the trials that were trained to their end, best first."""
        complete = [trial for trial in stored_trials(self.search.study) if trial.is_complete]
        return sorted(complete, key=lambda trial: (-trial.score, trial.number))

    def benefit(self) -> Benefit:
        """Compare the search with its baselines, by the score of a single training each."""
        trials = [trial for trial in stored_trials(self.search.study) if trial.counts]
        seconds = sum(trial.seconds for trial in trials) + sum(finalist.seconds for finalist in self.finalists)
        if self.screened is not None:
            seconds += self.screened.seconds + self.screened.training_seconds
        named, drawn = self.controls.scores()
        scores, drawn_seconds = tuple(trial.score for trial in drawn), sum(trial.seconds for trial in drawn)
        return Benefit(
            best=next(trial for trial in self.complete if not trial.is_control).score,
            seconds=seconds,
            drawn=RandomDraws(scores, drawn_seconds / len(drawn)) if drawn else None,
            named={name: trial.score for name, trial in named.items()},
            reference=self.reference.metrics.get(STS_DEV),
            zero_layer=self.zero_layer,
        )

    def taus(self) -> list[tuple[str, str, str, str, str]]:
        """Return how well each fidelity predicts the ranking by the next one and by full training."""
        return tau_rows(self.complete, self.screened)


def tau_rows(complete: Sequence[StoredTrial], screened: Screened | None) -> list[tuple[str, str, str, str, str]]:
    """Return a row for each fidelity, cheapest first."""
    fidelities: dict[str, dict[int, float]] = {}
    for measure in screened.measures if screened else ():
        by_layers = screened.of(measure) if screened else {}
        fidelities[measure] = {
            trial.number: by_layers[trial.attribute(KEPT_LAYERS)]
            for trial in complete
            if trial.attribute(KEPT_LAYERS) in by_layers
        }
    scores = {trial.number: trial.attribute(RUNG_SCORES) or [] for trial in complete}
    for rung in range(max(map(len, scores.values()), default=0)):
        fidelities[f"rung {rung + 1}"] = {
            number: by_rung[rung][0] for number, by_rung in scores.items() if len(by_rung) > rung
        }
    full = fidelities["full training"] = {trial.number: trial.score for trial in complete}
    rows = []
    for (name, values), (next_name, next_values) in pairwise(fidelities.items()):
        shared = [number for number in values if number in next_values]
        with_next = agreement([(values[number], next_values[number]) for number in shared])
        with_full = agreement([(values[number], full[number]) for number in values])
        rows.append((name, next_name, _tau(with_next), _tau(with_full), str(len(shared))))
    return rows


def _tau(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def publish(run: Run, report: SearchReport) -> list[str]:
    """Log the report; return the lines for the user."""
    search, benefit, complete = report.search, report.benefit(), report.complete
    rows = [_trial_row(trial) for trial in complete[:_NUM_SHOWN]]
    records.publish(run, report.version, search.inputs)
    run.describe(f"{len(complete)} complete trials. The answer is {report.version.uri}. {benefit.line()}")
    run.set_tags({"trial": str(report.chosen.trial.number), "worth_it": benefit.line()})
    rival = {} if benefit.rival is None else {"search/over_rival": benefit.best - benefit.rival}
    counts = {f"search/{state}": float(number) for state, number in _states(report).items()}
    run.log_metrics({"search/dev": benefit.best, "search/training_seconds": benefit.seconds, **rival, **counts})
    run.log_text(dump_recipe(report.chosen.recipe), "best_recipe.yaml")
    trials = [_as_json(trial) for trial in stored_trials(search.study)]
    run.log_json(trials, "trials.json")
    report_facts(
        study=search.study.study_name,
        trials=trials,
        answer={"trial": report.chosen.trial.number, "why": report.why, "layers": report.chosen.recipe.layers},
        finalists=[
            {"trial": finalist.trial.number, "layers": finalist.recipe.layers, "scores": finalist.scores}
            for finalist in report.finalists
        ],
        benefit=[dict(zip(_BENEFIT_COLUMNS, row, strict=True)) for row in benefit.rows()],
        fidelities=[dict(zip(_TAU_COLUMNS, row, strict=True)) for row in report.taus()],
        worth_it=benefit.line(),
    )
    if report.screened is not None:
        run.log_json(_screening_rows(report.screened), "screening.json")
    depth = search.space.depth
    front = front_chart(complete, search.aim)
    pictures = {} if front is None else {"front": front}
    pictures |= {"layers": layer_map(complete, depth), "influence": influence_chart(search.study, complete, depth)}
    pictures["history"] = history_chart(stored_trials(search.study))
    worth = f"## Was it worth it\n\n{benefit.line()}.\n\n{table(_BENEFIT_COLUMNS, benefit.rows())}"
    Report(_page(report)).led_by(_lead(report), worth, **pictures).log(run)
    return [
        "",
        *table_lines(_TRIAL_COLUMNS, rows),
        "",
        *table_lines(_BENEFIT_COLUMNS, benefit.rows()),
        "",
        *_fidelity_lines(report),
        f"worth it  {benefit.line()}",
    ]


def _screening_rows(screened: Screened) -> list[dict[str, object]]:
    return [
        {"layers": str(selection)} | {name: values[index] for name, values in screened.measures.items()}
        for index, selection in enumerate(screened.selections)
    ]


def _fidelity_lines(report: SearchReport) -> list[str]:
    rows = report.taus()
    return [*table_lines(_TAU_COLUMNS, rows), ""] if rows else []


def _states(report: SearchReport) -> dict[str, int]:
    """Return the number of trials by how they ended."""
    counts = {"complete": 0, "stopped": 0, "failed": 0, "answered": 0}
    for trial in stored_trials(report.search.study):
        if trial.attribute(ANSWERED):
            counts["answered"] += 1
        elif trial.counts:
            counts[{"COMPLETE": "complete", "PRUNED": "stopped"}.get(trial.state.name, "failed")] += 1
    return counts


def _trial_row(trial: StoredTrial) -> tuple[str, ...]:
    return (
        str(trial.number),
        str(trial.attribute(ORIGIN)),
        str(trial.attribute(KEPT_LAYERS)),
        f"{trial.score:.4f}",
        f"{trial.attribute(METRICS)[BYTES_MB]:.1f}",
        f"{trial.seconds:.0f} s",
        f"version {trial.attribute(VERSION)}",
    )


def _as_json(trial: StoredTrial) -> dict[str, object]:
    return {
        "trial": trial.number,
        "state": trial.state.name,
        "values": trial.trial.values,
        "params": trial.trial.params,
        **{key: value for key, value in trial.trial.user_attrs.items() if key != "process"},
    }


def _finalist_row(finalist: Finalist) -> tuple[object, ...]:
    by_seed = ", ".join(f"{seed}: {score:.4f}" for seed, score in sorted(finalist.scores.items()))
    return finalist.trial.number, finalist.recipe.layers, f"{finalist.mean:.4f}", by_seed


def _lead(report: SearchReport) -> str:
    """Return what to deploy, and with which command."""
    version, advice = report.version, report.advice
    retention = f", {version.metrics[RETENTION]:.1%} of the reference" if RETENTION in version.metrics else ""
    model = f"{version.uri} (layers {version.tags.get('kept_layers', report.chosen.recipe.layers)}{retention})"
    deploy = f"The best is {model}." if advice.refused else f"Deploy {model}."
    return f"{deploy} {advice.sentence()}"


def _page(report: SearchReport) -> str:
    """Return the report in Markdown."""
    search, chosen, complete = report.search, report.chosen, report.complete
    states = ", ".join(f"{number} {state}" for state, number in _states(report).items())
    chosen_settings = as_flat(search.space.point(chosen.trial.trial.params))
    settings = "".join(f", {name} {value}" for name, value in chosen_settings.items())
    candidates = pareto_front([Candidate.of_trial(trial, search.aim) for trial in complete])
    front = {candidate.number for candidate in candidates}
    rows = [(*_trial_row(trial), "yes" if trial.number in front else "") for trial in complete]
    ended = [
        (trial.number, trial.attribute(KEPT_LAYERS), trial.attribute(REASON))
        for trial in stored_trials(search.study)
        if trial.attribute(REASON)
    ]
    finalists = table(("trial", "layers", "mean dev", "by seed"), list(map(_finalist_row, report.finalists)))
    answer = f"trial {chosen.trial.number}, layers {chosen.recipe.layers}{settings}, {report.version.uri}"
    parts = [
        f"# The search: {search.space}",
        f"## The answer\n\n- aim: {search.aim}\n- trials: {states}\n- answer: {answer}\n- why: {report.why}\n"
        f"- its recipe: best_recipe.yaml ({command_line('full', recipe='best_recipe.yaml')} makes it again)",
        f"## Trials trained to their end\n\n{table((*_TRIAL_COLUMNS, 'front'), rows)}",
        f"## Finalists\n\n{finalists}",
        f"## What each fidelity was worth\n\n{_ABOUT_TAU}\n\n{table(_TAU_COLUMNS, report.taus())}",
        f"## Stopped and failed\n\n{table(('trial', 'layers', 'why'), ended)}" if ended else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
