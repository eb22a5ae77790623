"""The story of a search: reference, screening, trials, controls, finals, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import TrialState

from pipelines.console import echo
from pipelines.flows.summary import summarise, where_report
from pipelines.flows.variant import find_or_build_reference
from pipelines.inputs.base import find_model
from pipelines.steps.records import data_record
from sbert_prune.tracking.store import is_running
from tuning import prepare
from tuning.artifacts import ArtifactRetention
from tuning.constraints import within_latency
from tuning.context import SearchContext
from tuning.finals import choose, make_answer, make_challenger, run_finals
from tuning.messages import Rows
from tuning.prepare import Search
from tuning.proposals import Controls, Proposals, controls_of
from tuning.report import SearchReport, publish
from tuning.scheduler import run_trials
from tuning.study import RUN, close_stale, held, open_study, study_name, where_dashboard

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
    """Search, or go on with a search, under one run; returns the lines that it ends with."""
    aim = settings.aim
    name = study_name(recipe, inputs, (str(space), str(aim), context.hardware.device.type))
    study = open_study(name, settings.storage, aim, settings.sampler, recipe.seed)
    tags = {"step": "search", "role": "search", "study": name, "sampler": settings.sampler}
    with context.under(f"search {_short(space)} s{recipe.seed}", tags, recipe) as (inner, run):
        told = {
            "trials": settings.trials,
            "space": space,
            "aim": aim,
            "workers": settings.workers,
        }  # `mlflow run` logs its own by their names
        run.log_params({f"search.{key}": str(value) for key, value in told.items()})
        for use, rows in inputs.splits.items():
            run.log_data(data_record(rows), "training" if use.endswith("train") else "testing")
        _take_up(inner, run, study)
        searched = Search(inner, recipe, inputs, study, aim)
        latencies = prepare.latencies(searched, space)
        space = within_latency(space, aim, latencies)
        echo(f"space     {space}", f"aim       {aim}")
        reference = find_or_build_reference(inner, recipe, inputs, anew=False)
        bench, screened = _prepare(searched, (space, latencies), reference, settings)
        proposals = Proposals(study, space, recipe, (bench.named, screened, settings.trials))
        ended = run_trials(bench, proposals, settings.workers, settings.finalists)
        if ended:
            echo(f"trials end early: {ended}")
        if any(one.state == TrialState.RUNNING for one in held(study)):
            return ["", "another command trains some of these trials still: the one that ends last gives the answer"]
        controls = Controls(study, space, recipe, controls_of(space, bench.named, settings.trials, recipe.seed))
        run_trials(bench, controls, settings.workers, 0)
        return _answer(bench, run, (screened, reference, controls), settings)


def _short(space: Space) -> str:
    if space.fixed:
        return f"layers {space.fixed}"
    return f"L{space.counts[0]}" if len(space.counts) == 1 else f"L{space.counts[0]}..{space.counts[-1]}"


def _take_up(context: Context, run: Run, study: Study) -> None:
    """What earlier commands have left of this study: their trials are shown here, and those that nobody will end are proposed anew."""
    stale = close_stale(study, lambda run_id: is_running(context.store, run_id))
    if stale:
        echo(f"trials whose process has ended without a word, tried again: {', '.join(str(one.number) for one in stale)}")
    before = [one for one in held(study) if one.say(RUN)]
    for one in before:
        run.adopt(str(one.say(RUN)))
    if before:
        echo(f"study {study.study_name} goes on after {sum(one.counts for one in before)} trials")


def _prepare(
    search: Search, given: tuple[Space, dict[int, float]], reference: Version, settings: Settings
) -> tuple[SearchContext, Screened | None]:
    """given: the space, and how long each count of layers takes."""
    context, recipe, inputs, study, aim = search.context, search.recipe, search.inputs, search.study, search.aim
    space, latencies = given
    screened = prepare.screened(search, space, reference, settings.screening)
    teacher = inputs.teacher or find_model(reference.uri)
    bench = SearchContext(
        context=context,
        recipe=recipe,
        inputs=inputs,
        study=study,
        space=space,
        aim=aim,
        rows=Rows(inputs.texts, inputs.sentences, teacher),
        shelf=ArtifactRetention(context, recipe, inputs, aim, settings.limits),
        named=prepare.named(search, space),
        lower_half=screened.lower_half() if screened else frozenset(),
        latencies=latencies,
    )
    return bench, screened


def _answer(bench: SearchContext, run: Run, known: tuple[Screened | None, Version, Controls], settings: Settings) -> list[str]:
    screened, reference, controls = known
    finalists = run_finals(bench, settings.finalists, settings.seeds or (bench.recipe.seed, bench.recipe.seed + 1))
    chosen, why = choose(finalists, bench)
    version, its_reference = make_answer(bench, chosen)
    challenger = make_challenger(bench, version, why)
    floor = prepare.floor(Search(bench.context, bench.recipe, bench.inputs, bench.study, bench.aim))
    outcome = SearchReport(bench, screened, controls, tuple(finalists), chosen, why, version, reference, floor)
    lines = publish(run, outcome)
    return [
        *lines,
        *summarise(bench.context.store, version, its_reference)[:-1],
        f"stage     {challenger}",
        where_report(bench.context.store, run.run_id),
        where_dashboard(bench.study.study_name, settings.storage),
        f"promote   mlflow run . -e promote -P registered_model={version.name} -P version={version.version} -P stage=Production",
    ]
