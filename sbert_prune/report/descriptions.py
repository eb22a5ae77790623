"""Descriptions of the registered model and the experiment in MLflow, with the current table of variants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import MARGIN
from sbert_prune.metrics import RETENTION, SIZE, SPEEDUP, STS_DEV, STS_TEST
from sbert_prune.registry.version import REFERENCE, TRIAL, VARIANT
from sbert_prune.registry.versions import SHOWN, look_up, versions
from sbert_prune.report.tables import metric_with_interval, table
from sbert_prune.system.command_line import command_line
from sbert_prune.tracking.runs import NOTE
from sbert_prune.tracking.store import store_errors
from sbert_prune.training.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sbert_prune.registry.version import Version
    from sbert_prune.tracking.store import Store

LONGEST = 4_500
"""Maximum number of characters; MLflow's databases allow 5,000."""

_HEADER = ("version", "layers", "strategy", "phases", "size", "speed", "dev", "test", "of the reference")
_TITLES = ("champion", "challenger", "previous")


def catalogue(name: str, versions: Sequence[Version], aliases: Mapping[str, str], *, longest: int = LONGEST) -> str:
    """Return the aliases, then a table of references and variants, as many as fit, then a line for each search.

    The versions with an alias and the newest reference come first, then the variants whose recorded dev score is within
    the policy's margin of their reference's, the smallest first; then the others, by dev score.

    Args:
        name: Name of the registered model.
        versions: Its versions.
        aliases: Version number by alias.
        longest: Maximum number of characters.
    """
    alias_links = [
        f"**{alias}** is [version {number}]({_address(name, number)})" for alias, number in sorted(aliases.items())
    ]
    intro = ", ".join(alias_links) or f"No version is promoted yet: `{command_line('promote')}`"
    holds = {number: alias for alias, number in aliases.items()}
    ordered = _ordered([entry for entry in versions if not entry.is_trial or entry.version in holds], holds)
    trials = [entry for entry in versions if entry.is_trial and entry.version not in holds]
    searches = "\n".join(_search_lines(trials))
    shown = len(ordered)
    while True:
        rows = [_row(name, version, holds) for version in ordered[:shown]]
        more = f"\n\nand {len(ordered) - shown:,} more" if shown < len(ordered) else ""
        text = f"{intro}.\n\n{table(_HEADER, rows)}{more}\n\n{searches}\n"
        if len(text) <= longest or shown == 0:
            return text
        shown = min(shown - 1, shown * longest // len(text))


def _ordered(versions: Sequence[Version], holds: Mapping[str, str]) -> list[Version]:
    references = [version for version in versions if version.is_reference]
    dev_of = {version.tags.get("reference_key"): version.metrics.get(STS_DEV, math.inf) for version in references}
    newest = references[-1].version if references else None

    def rank(version: Version) -> tuple[float, ...]:
        if version.version in holds:
            return (0, _TITLES.index(holds[version.version]) if holds[version.version] in _TITLES else len(_TITLES))
        if version.is_reference:
            return (1,) if version.version == newest else (4, -int(version.version))
        dev, size = version.metrics.get(STS_DEV, -math.inf), version.metrics.get(SIZE, math.inf)
        is_good = dev >= dev_of.get(version.tags.get("reference_key"), math.inf) - MARGIN
        return (2, size, -dev) if is_good else (3, -dev, size)

    return sorted(versions, key=rank)


def _search_lines(trials: Sequence[Version]) -> list[str]:
    """Return a line for each search with the number of its trials and their range of dev scores."""
    searches: dict[str, list[float]] = {}
    for trial in trials:
        name = trial.tags.get("study", trial.tags.get("parent_run_id", "unknown"))
        searches.setdefault(name, []).append(trial.metrics.get(STS_DEV, math.nan))
    return [
        f"- {len(scores)} trials of search `{name}`, dev {min(scores):.4f} to {max(scores):.4f}"
        for name, scores in searches.items()
    ]


def _row(name: str, version: Version, titles: Mapping[str, str]) -> tuple[str, ...]:
    tags, metrics = version.tags, version.metrics
    about = [titles[version.version]] if version.version in titles else []
    about += ["reference"] * version.is_reference + ["no files"] * version.has_no_files

    def formatted(metric: str, template: str) -> str:
        return template.format(metrics[metric]) if metric in metrics else "-"

    described = f" ({', '.join(about)})" if about else ""
    return (
        f"[{version.version}]({_address(name, version.version)}){described}",
        f"{tags.get('kept_layers', '-')} of {tags.get('depth', '-')}",
        tags.get("strategy", "-"),
        "+".join(phase for key in tags if (phase := key.removesuffix("_digest")) != key and phase in PHASES) or "-",
        formatted(SIZE, "{:.1f} MB"),
        formatted(SPEEDUP, "{:.2f}x"),
        formatted(STS_DEV, "{:.4f}"),
        metric_with_interval(metrics, STS_TEST),
        formatted(RETENTION, "{:.1%}"),
    )


def _address(name: str, number: str) -> str:
    """Return the address of a version in the MLflow UI."""
    return f"#/models/{name.replace(' ', '%20')}/versions/{number}"


_BEGIN, _END = "<!-- written by sbert-prune -->", "<!-- end of what sbert-prune wrote -->"
_MOST = 4_900
_MAX_PER_MODEL = 1_400  # an experiment can have several registered models


def describe(store: Store, name: str, listed: Sequence[Version] | None = None) -> None:
    """Update both descriptions; text that users wrote around ours stays.

    Args:
        store: The tracking store.
        name: The registered model.
        listed: Its versions, oldest first; None lists the newest.

    Raises:
        TrackingError: The store refuses.
    """
    with store_errors(f"The descriptions of {name} could not be updated"):
        registered = store.client.get_registered_model(name)
        aliases = {alias: str(number) for alias, number in registered.aliases.items()}
        newest = _newest(store, name, aliases) if listed is None else listed
        text = catalogue(name, newest, aliases)
        store.client.update_registered_model(name, _put(registered.description or "", "", text))
        note = store.client.get_experiment(store.experiment_id).tags.get(NOTE, "")
        heading = f"### [{name}](#/models/{name.replace(' ', '%20')})"
        short = catalogue(name, newest, aliases, longest=_MAX_PER_MODEL)
        store.client.set_experiment_tag(store.experiment_id, NOTE, _put(note, f" {name}", f"{heading}\n\n{short}"))


def _newest(store: Store, name: str, aliases: Mapping[str, str]) -> list[Version]:
    """Return the newest versions of each role, and those with an alias, oldest first."""
    of_roles = [versions(store, name, tagged={"role": role}, newest=SHOWN) for role in (REFERENCE, VARIANT, TRIAL)]
    by_number = {int(version.version): version for entries in of_roles for version in entries}
    missing = [number for number in aliases.values() if int(number) not in by_number]
    by_number |= {int(number): entry for number in missing if (entry := look_up(store, name, number)) is not None}
    return [by_number[number] for number in sorted(by_number)]


def _put(before: str, mark: str, text: str) -> str:
    """Replace our part of a text, or append it; return the text unchanged if the result would be too long."""
    begin, end = _BEGIN.replace(" -->", f"{mark} -->"), _END.replace(" -->", f"{mark} -->")
    part = f"{begin}\n{text.strip()}\n{end}"
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2]
    else:
        head, tail = (f"{before.rstrip()}\n\n" if before.strip() else ""), ""
    result = head + part + tail
    return result if len(result) <= _MOST else before
