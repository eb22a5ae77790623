"""The steps of a search: reference, screening, trials, controls, finals, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import TrialState

from pipelines.console import echo, report_facts
from pipelines.flows.summary import summarise, where_report
from pipelines.flows.variant import find_or_build_reference
from pipelines.inputs.base import find_model
from sbert_prune.inputs.texts import data_record
from sbert_prune.tracking.store import is_running
from tuning import prepare
from tuning.artifacts import ArtifactRetention
from tuning.benefit import MIN_CONTROLS
from tuning.constraints import within_latency
from tuning.context import SearchContext
from tuning.finals import choose, make_answer, make_challenger, run_finals
from tuning.messages import TrainingRows
from tuning.plan import trainings_line
from tuning.proposals import Controls, Proposals
from tuning.report import SearchReport, publish
from tuning.scheduler import run_trials
from tuning.study import RUN, close_stale, open_study, stored_trials, study_name, where_dashboard

if TYPE_CHECKING:
    from optuna import Study

    from pipelines.inputs.load import Inputs
    from pipelines.steps.context import Context
    from sbert_prune.recipe.recipe import Recipe
    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.runs import Run
    from tuning.screening import Screened
    from tuning.settings import Settings
    from tuning.space import Space


def search(context: Context, recipe: Recipe, inputs: Inputs, space: Space, settings: Settings) -> list[str]:
    """Start or resume a search under one run; return its last lines."""
    aim = settings.aim
    name = study_name(recipe, inputs, space=str(space), aim=str(aim), device=context.hardware.device.type)
    study = open_study(name, settings.storage, aim, settings.sampler, recipe.seed)
    tags = {"step": "search", "role": "search", "study": name, "sampler": settings.sampler}
    with context.under(f"search {_short(space)} s{recipe.seed}", tags, recipe) as (inner, run):
        params = {"trials": settings.trials, "space": space, "aim": aim, "workers": settings.workers}
        run.log_params({f"search.{key}": str(value) for key, value in params.items()})
        for use, rows in inputs.splits.items():
            run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
        _resume(inner, run, study)
        latencies = prepare.latencies(recipe, inputs, study=study, aim=aim, space=space)
        space = within_latency(space, aim, latencies)
        echo(f"space     {space}", f"aim       {aim}", trainings_line(study, space, recipe, settings))
        reference = find_or_build_reference(inner, recipe, inputs, anew=False)
        search_context = SearchContext(
            context=inner,
            recipe=recipe,
            inputs=inputs,
            study=study,
            space=space,
            aim=aim,
            rows=TrainingRows(inputs.texts, inputs.teacher or find_model(reference.uri)),
            artifacts=ArtifactRetention(inner, recipe, inputs, aim, settings.limits, study=name),
        )
        screened = prepare.screened(search_context, reference, settings.screening)
        named = prepare.named(search_context)
        proposals = Proposals(study, space, recipe, named=named, screened=screened, total=settings.trials)
        ended_early = run_trials(
            search_context,
            proposals,
            workers=settings.workers,
            min_complete=settings.finalists,
            lower_half=screened.lower_half() if screened else frozenset(),
            latencies=latencies,
        )
        if ended_early:
            echo(f"trials end early: {ended_early}")
        in_training = [trial.number for trial in stored_trials(study) if trial.state == TrialState.RUNNING]
        if in_training:
            report_facts(study=name, in_training=in_training)
            return [
                "",
                "another command is still training some of these trials: the one that ends last gives the answer",
            ]
        controls = Controls(study, space, recipe, named, count=settings.controls)
        run.log_params({"search.controls": str(len(controls.chosen))})
        if space.num_selections > 1:
            echo(f"controls  {_controls_line(len(controls.chosen), settings.controls)}")
        run_trials(search_context, controls, workers=settings.workers, min_complete=0, latencies=latencies)
        return _answer(search_context, run, settings, screened=screened, reference=reference, controls=controls)


def _short(space: Space) -> str:
    if space.fixed:
        return f"layers {space.fixed}"
    return f"L{space.counts[0]}" if len(space.counts) == 1 else f"L{space.counts[0]}..{space.counts[-1]}"


def _controls_line(number: int, given: int | None) -> str:
    """Return how many controls are trained and why, and what to do where they are too few."""
    why = "" if given is not None else ", as many as fit into a fifth of the trials' training time"
    few = f"; at least {MIN_CONTROLS} are needed to measure the benefit: controls={MIN_CONTROLS}"
    return f"{number}{why}{few if number < MIN_CONTROLS else ''}"


def _resume(context: Context, run: Run, study: Study) -> None:
    """Move the trials of earlier commands below this run, and queue those again whose process has ended."""
    stale = close_stale(study, lambda run_id: is_running(context.store, run_id))
    if stale:
        numbers = ", ".join(str(trial.number) for trial in stale)
        echo(f"trials whose process ended without a result, tried again: {numbers}")
    recorded = [trial for trial in stored_trials(study) if trial.attribute(RUN)]
    for trial in recorded:
        run.adopt(str(trial.attribute(RUN)))
    if recorded:
        echo(f"study {study.study_name} resumes after {sum(trial.counts for trial in recorded)} trials")


def _answer(
    search: SearchContext,
    run: Run,
    settings: Settings,
    *,
    screened: Screened | None,
    reference: Version,
    controls: Controls,
) -> list[str]:
    """Train the finalists, make the answer the challenger, publish the report and return the last lines."""
    finalists = run_finals(search, settings.finalists, settings.seeds or (search.recipe.seed, search.recipe.seed + 1))
    chosen, why = choose(finalists, search.aim)
    made = make_answer(search, chosen)
    challenger = make_challenger(search, made.variant, why)
    report = SearchReport(
        search=search,
        screened=screened,
        controls=controls,
        finalists=tuple(finalists),
        chosen=chosen,
        why=why,
        version=made.variant,
        advice=made.advice,
        reference=reference,
        zero_layer=prepare.zero_layer_baseline(search),
    )
    lines = publish(run, report)
    report_facts(stage=challenger)
    return [
        *lines,
        *summarise(search.context.store, made.variant, made.reference),
        f"stage     {challenger}",
        where_report(search.context.store, run.run_id),
        where_dashboard(search.study.study_name, settings.storage),
        *made.advice.lines(),
    ]
