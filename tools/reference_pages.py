"""Write docs/commands.md and docs/metrics.md from the code; `--check` reports whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from pipelines.commands.options import DEFAULT_RECIPE, RECIPE_PARAMETERS
from sbert_prune.metrics import METRICS
from sbert_prune.recipe.fields import SETTINGS, Setting
from sbert_prune.recipe.settings import GROUPS, EvaluationSettings
from tuning.__main__ import ALL_COMMANDS, main

DOCS = Path(__file__).parents[1] / "docs"
WRITE = "python tools/reference_pages.py"

_FACTS = {
    "full": "`variant`, `reference`, `see`; `promote`, or `refusals` and `try`; `rivals` with `rivals`; "
    "`seeds`, `scores`, `run_id` with `seeds`",
    "search": "those of `full`, and `study`, `trials`, `answer`, `finalists`, `benefit`, `fidelities`, `worth_it`, "
    "`stage`, `run_id`, `report`; `in_training` where another command goes on; `rebuilt` with `rebuild`",
    "evaluate": "`model`, `metrics`, `run_id`, `report`; `judgement` and `diagnostics`, unless an earlier evaluation "
    "is reused",
    "compare": "`models`, `differences` (to the first), `run_id`, `report`",
    "verify": "`versions` (how many of each model), `findings`, `open` (how many are left)",
    "history": "`registered_model`, `versions`, `events`, `deleted`, `damage`, `aliases`",
}
"""The keys of the JSON object of each command; with plan=true it is `plan` alone, a list of lines."""

_WITH_JSON = ", ".join(f"`{name}`" for name in _FACTS)
_JSON_KEYS = "\n".join(f"| `{name}` | {keys} |" for name, keys in _FACTS.items()) + (
    "\n| with `plan=true` | `plan`, the lines |"
)
_EXIT_STATUSES = {
    "0": "done",
    "1": "a bug, with a traceback",
    "2": "wrong input, or a failed check of `doctor`: what was found, what is right, and what to do",
    "3": "done, but some of it is not recorded yet: the message says where it waits",
    "4": "refused by a policy or a check of quality",
    "5": "`verify` has findings",
    "130, 143, 129": "interrupted (ctrl-c, SIGTERM, a closed terminal); the same command resumes",
}
_STATUSES = "\n".join(f"| {status} | {meaning} |" for status, meaning in _EXIT_STATUSES.items())

_HEAD = f"""# Commands

<!-- Written by `{WRITE}` from the commands' help and the fields of the recipe. Change those, not this page. -->

Every command has two spellings: `sbert-prune full --layers 6 --seed 1` in any folder, and
`mlflow run . -e full -P layers=6 -P seed=1` in a clone. `--help` prints the parameters of one command. An empty value,
`as-recipe` and `not-given` count as left out. `--plan` means `--plan true`, and so does every parameter that is true or
false.

## JSON

`json=true` prints the result of {_WITH_JSON}
as one JSON object to standard output: what the last lines say, as values. Those lines, progress and
notes go to standard error.

```
sbert-prune full --layers 6 --json 2>/dev/null | jq .variant.metrics
```

| command | keys of the object |
| --- | --- |
{_JSON_KEYS}

The object of a command that could not record all of it has `unrecorded` as well. A command that fails prints no object.

## Exit status

| status | meaning |
| --- | --- |
{_STATUSES}

Under `mlflow run`, every status but 0 becomes 1, 3 among them; the message above MLflow's own says which it was.

## Overview
"""

_SETTINGS_TITLE = "The settings of a recipe"
_SETTINGS_LINK = "[settings of a recipe](#the-settings-of-a-recipe)"

_SETTINGS_HEAD = f"""## {_SETTINGS_TITLE}

`recipe` ({DEFAULT_RECIPE} when left out) is a recipe of the package or a .yaml file of your own;
[recipes.md](recipes.md) describes both. A parameter overrides the setting of its name: `nli_epochs` is `epochs` below
`nli` in the file.

*Default* is the value if neither the recipe nor a parameter gives one; a dash means that the recipe has to.
*Search* says how `space` of [`search`](#search) may vary the setting: over a range of numbers (log: spread by their
ratio), or over a list of values.
"""

_PHASE_TITLES = {"nli": "NLI", "sts": "STS", "distil": "Distillation"}
_FEW = 5
"""A command that lacks at most so many settings is described by them."""


def page() -> str:
    """Return the page as Markdown."""
    commands = {name: main.get_command(click.Context(main), name) for name in ALL_COMMANDS}
    summaries = {name: row.summary for name, row in ALL_COMMANDS.items()}
    overview = _table(("command", "what it does"), ((f"[`{name}`](#{name})", summaries[name]) for name in commands))
    sections = [section for name, command in commands.items() if command for section in _command(name, command)]
    return "\n".join([_HEAD, *overview, "", *sections, _SETTINGS_HEAD, *_settings()]).rstrip() + "\n"


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f"## {name}\n"
    for paragraph in _paragraphs(command):
        yield f"{paragraph}\n"
    own = [parameter for parameter in command.params if not _is_of_recipe(parameter)]
    if own:
        rows = (
            (f"`{parameter.name}`", _help(parameter), _values(parameter), getattr(parameter, "default_text", ""))
            for parameter in own
        )
        yield "\n".join([*_table(("parameter", "what it does", "values", "default"), rows), ""])
    of_recipe = [str(parameter.name) for parameter in command.params if _is_of_recipe(parameter)]
    if of_recipe:
        yield f"{_listed(of_recipe)}\n"


def _paragraphs(command: click.Command) -> list[str]:
    return [" ".join(text.split()) for text in (command.help or "").split("\n\n")]


def _is_of_recipe(parameter: click.Parameter) -> bool:
    described = RECIPE_PARAMETERS.get(str(parameter.name))
    return described is not None and described.help == getattr(parameter, "help", None)


def _help(parameter: click.Parameter) -> str:
    text = getattr(parameter, "help", None) or f"On the command line, written without its name: `{parameter.metavar}`."
    return f"{text} Required." if parameter.required else text


def _values(parameter: click.Parameter) -> str:
    """Return the values that it takes, as the table of the settings does."""
    kind = str(parameter.metavar) if isinstance(parameter, click.Option) else ""
    return kind[1:-1].replace("|", ", ") if kind.startswith("[") else {"TEXT": ""}.get(kind, kind.lower())


def _listed(names: Sequence[str]) -> str:
    """Return a sentence about the settings that a command takes: all, all but a few, or which."""
    lacking = [setting.parameter for setting in SETTINGS.values() if setting.parameter not in names]
    if len(lacking) <= _FEW:
        but = f", except {', '.join(f'`{name}`' for name in lacking)}" if lacking else ""
        return f"Takes `recipe` and all {_SETTINGS_LINK}{but}."
    groups = {setting.parameter: setting.group for setting in SETTINGS.values()}
    whole = {group for group in GROUPS if all(name in names for name in groups if groups[name] == group)}
    shown = (f"all `{groups[name]}_...`" if groups.get(name) in whole else f"`{name}`" for name in names)
    return f"Takes these {_SETTINGS_LINK}: {', '.join(dict.fromkeys(shown))}."


def _settings() -> Iterator[str]:
    general = [setting for setting in SETTINGS.values() if not setting.group]
    evaluation = [setting for setting in general if setting.path in EvaluationSettings.model_fields]
    yield from _settings_table("Base, layers and run", [[setting] for setting in general if setting not in evaluation])
    alike: dict[tuple[str, ...], list[list[Setting]]] = {}
    for settings in _alike(setting for setting in SETTINGS.values() if setting.group):
        alike.setdefault(tuple(setting.group for setting in settings), []).append(settings)
    for groups in sorted(alike, key=len, reverse=True):
        every = len(groups) == len(GROUPS)
        title = "Every phase" if every else " and ".join(_PHASE_TITLES[group] for group in groups)
        yield from _settings_table(title, alike[groups])
    yield from _settings_table("Evaluation", [[setting] for setting in evaluation])


def _alike(settings: Iterable[Setting]) -> list[list[Setting]]:
    """Group the settings of different phases that have one name and one description."""
    groups: dict[tuple[str, str], list[Setting]] = {}
    for setting in settings:
        groups.setdefault((setting.path.partition(".")[2], setting.description), []).append(setting)
    return list(groups.values())


def _settings_table(title: str, rows: Iterable[Sequence[Setting]]) -> Iterator[str]:
    yield f"### {title}\n"
    cells = (
        (
            ", ".join(f"`{setting.parameter}`" for setting in settings),
            settings[0].description,
            settings[0].values,
            _defaults(settings),
            _search(settings[0]),
        )
        for settings in rows
    )
    yield "\n".join([*_table(("parameter", "what it does", "values", "default", "search"), cells), ""])


def _defaults(settings: Sequence[Setting]) -> str:
    defaults = {setting.group: "-" if setting.default is None else setting.default for setting in settings}
    usual = next(iter(defaults.values()))
    others = ", ".join(f"{group}: {default}" for group, default in defaults.items() if default != usual)
    return f"{usual} ({others})" if others else usual


def _search(setting: Setting) -> str:
    if setting.varies is None:
        return ""
    scale = "range (log)" if setting.varies.log else "range"
    return " or ".join([*([scale] if setting.number else []), *(["list"] if setting.varies.choices else [])])


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [header, ("---",) * len(header), *(map(_escaped, row) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _escaped(cell: str) -> str:
    escaped = cell.replace("|", r"\|")
    return escaped if escaped.startswith("`") else escaped.replace("*", r"\*")


_METRICS_HEAD = f"""# Metrics

<!-- Written by `{WRITE}` from sbert_prune/metrics.py. Change that, not this page. -->

Every metric that a run logs, by its name in MLflow; `*` stands for a split, a data set or a kind of change.
[judging.md](judging.md) says how they are measured and compared. *Repeated* are those that the parent run and the
version have as well, so that variants compare without opening other runs. Intervals (95 %), `NAME_low` and `NAME_high`,
and `..._p_worse` are metrics of the run that evaluates (step `evaluate`) and in the version's tag `sbert_prune.record`;
of them, the parent run has that of `sts_test/spearman_cosine` alone, since MLflow draws a chart of each metric.
"""


def metrics_page() -> str:
    """Return the page of the metrics as Markdown."""
    rows = (
        (
            f"`{metric.name}`",
            metric.help,
            metric.unit,
            "less" if metric.less_is_better else "",
            _REPEATED[metric.repeats],
        )
        for metric in METRICS
    )
    return "\n".join([_METRICS_HEAD, *_table(("metric", "what it is", "unit", "better", "repeated"), rows)]) + "\n"


_REPEATED = {"nothing": "", "value": "yes", "value and interval": "with its interval"}

PAGES: dict[str, Callable[[], str]] = {"commands.md": page, "metrics.md": metrics_page}


def run(arguments: Sequence[str]) -> str | None:
    """Write or check the pages. Returns what is wrong, or None."""
    for name, content in PAGES.items():
        path = DOCS / name
        if "--check" not in arguments:
            path.write_text(content(), encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != content():
            return f"docs/{name} is not what the code has now. Run `{WRITE}`, and commit the page."
    return None


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
