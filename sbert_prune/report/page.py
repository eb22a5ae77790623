"""`report.md`: all results of one model on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sbert_prune.evaluation.bootstrap import MARGIN, verdict
from sbert_prune.evaluation.perturbations import PERTURBATIONS
from sbert_prune.metrics import STS_TEST
from sbert_prune.report.tables import signed, table, with_interval, with_risk

if TYPE_CHECKING:
    from sbert_prune.evaluation.comparison import Judgement
    from sbert_prune.evaluation.diagnostics import Diagnostic

_SPEARMAN, _PEARSON = "/spearman_cosine", "/pearson_cosine"


@dataclass(frozen=True)
class Table:
    """A table of a page with a note."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """The content of a report page.

    Attributes:
        title: Title of the page.
        facts: Facts about the model, by name.
        judgement: Scores of the model and its rivals.
        next_step: What to do with the model, if that is known.
        metrics: Metrics of size, speed and memory.
        diagnostics: Detected failures.
        more: Further tables.
        pictures: Titles of pictures by file name.
    """

    title: str
    facts: Mapping[str, str]
    judgement: Judgement
    metrics: Mapping[str, float]
    next_step: str = ""
    diagnostics: Sequence[Diagnostic] = ()
    more: Sequence[Table] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the page in Markdown."""
        parts = [
            f"# {self.title}",
            " ".join(filter(None, (_standing(self.judgement), self.next_step))),
            "\n".join(f"- {name}: {value}" for name, value in self.facts.items()),
            _section("What stands out", "\n".join(f"- {diagnostic}" for diagnostic in self.diagnostics)),
            _section("Similarity (STS)", *sts_tables(self.judgement), _MEANING if self.judgement.rivals else ""),
            _section("By genre and file", _by_genre(self.judgement)),
            _section("Search and classification", _tasks(self.judgement)),
            _section("Robustness", _robustness(self.judgement), _ROBUSTNESS),
            _section("Embeddings", _geometry(self.judgement)),
            _section("Size, speed, memory", table(("measure", "value"), sorted(self.metrics.items()))),
            *(_section(more.title, table(more.header, more.rows), more.note) for more in self.more),
            *(_section(title, f"![{title}]({name})") for name, title in self.pictures.items()),
            _section("Notes", "\n".join(f"- {note}" for note in self.judgement.measured.notes)),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


_MEANING = (
    "Differences are this model less the other, on the same pairs, with the 95 % interval of a paired bootstrap; "
    f"P(worse) is the probability of being worse by more than {MARGIN:g}."
)
_ROBUSTNESS = (
    "If the meaning stays, the drop is the loss of the Spearman correlation: less is better. If the meaning changes, "
    "it is the loss of the cosine of similar pairs, which depends on the spread of a model's cosines; noticed is the "
    "share of pairs whose first sentence is nearer to the original second sentence than to the changed one: more is "
    "better, and models are compared by it. Kinds marked * need no knowledge of the language."
)


def _standing(judgement: Judgement) -> str:
    """Return how the model does on the test pairs against each rival, in one sentence."""
    compared = {rival: judgement.differences(rival).get(STS_TEST) for rival in judgement.rivals}
    parts = [
        f"{verdict(difference)} beside the {rival} ({with_risk(difference)})"
        for rival, difference in compared.items()
        if difference is not None
    ]
    return f"On the test pairs: {', '.join(parts)}." if parts else ""


def _section(title: str, *parts: str) -> str:
    """Return a section, or "" if its first part is empty."""
    return "\n\n".join([f"## {title}", *filter(None, parts)]) if parts[0] else ""


def sts_tables(judgement: Judgement) -> list[str]:
    """Return a table of the scores of each set of pairs, and a table of differences for each rival."""
    measured = judgement.measured
    names = [name for name in measured.scores if name.endswith(_SPEARMAN)]
    rows = [
        (
            name.removesuffix(_SPEARMAN),
            f"{measured.values[name.replace(_SPEARMAN, '/num_pairs')]:,.0f}",
            with_interval(measured.scores[name]),
            with_interval(measured.scores[name.replace(_SPEARMAN, _PEARSON)]),
        )
        for name in names
    ]
    tables = [table(("set", "pairs", "Spearman", "Pearson"), rows)]
    for rival, rival_measured in judgement.rivals.items():
        differences = judgement.differences(rival)
        compared = [
            (
                name.removesuffix(_SPEARMAN),
                f"{rival_measured.scores[name].value:.4f}",
                signed(differences[name]),
                f"{differences[name].probability_below(-MARGIN):.3f}",
                verdict(differences[name]),
            )
            for name in names
            if name in differences
        ]
        tables.append(table((f"against the {rival}", f"{rival}'s", "difference", "P(worse)", "it is"), compared))
    return tables


def _by_genre(judgement: Judgement) -> str:
    names = [name for name in judgement.measured.details if name.endswith("_spearman_cosine")]
    rows = [
        (
            name.removesuffix("_spearman_cosine"),
            with_interval(judgement.measured.details[name]),
            *_reference_cells(judgement, name),
        )
        for name in names
    ]
    return table(("genre", "Spearman", "reference's", "difference"), rows)


def _tasks(judgement: Judgement) -> str:
    names = [name for name in judgement.measured.scores if name.startswith(("retrieval/", "classification/"))]
    rows = [
        (name, with_interval(judgement.measured.scores[name]), *_reference_cells(judgement, name)) for name in names
    ]
    rows += [
        (name, f"{value:.4f}", "-", "-")
        for name, value in judgement.measured.values.items()
        if name.startswith("mteb/")
    ]
    return table(("measure", "value", "reference's", "difference"), rows)


def _reference_cells(judgement: Judgement, name: str) -> tuple[str, str]:
    """Return the reference's value and the difference to it, or dashes without a reference."""
    reference = judgement.rivals.get("reference")
    if reference is None or name not in reference.all_scores:
        return "-", "-"
    reference_score = reference.all_scores[name]
    return f"{reference_score.value:.4f}", signed(judgement.measured.all_scores[name].minus(reference_score))


def _robustness(judgement: Judgement) -> str:
    measured = judgement.measured
    rows = []
    for name, kind in PERTURBATIONS.items():
        drop = f"robustness/{name}_drop"
        if drop not in measured.scores:
            continue
        compared = drop if kind.keeps_meaning else f"robustness/{name}_noticed"
        label = f"{name.replace('_', ' ')}{'' if kind.languages else ' *'}"
        affected = f"{measured.values[f'robustness/{name}_affected']:,.0f}"
        noticed = "" if kind.keeps_meaning else f"{measured.scores[compared].value:.3f}"
        meaning = "stays" if kind.keeps_meaning else "changes"
        rows.append(
            (
                label,
                meaning,
                affected,
                with_interval(measured.scores[drop]),
                noticed,
                *_reference_cells(judgement, compared),
            )
        )
    return table(("disturbance", "meaning", "pairs", "drop", "noticed", "reference's", "difference"), rows)


def _geometry(judgement: Judgement) -> str:
    names = [name for name in judgement.measured.values if name.startswith("geometry/")]
    rivals = list(judgement.rivals)
    rows = [
        (
            name.removeprefix("geometry/").replace("_", " "),
            judgement.measured.values[name],
            *(judgement.rivals[rival].values.get(name) for rival in rivals),
        )
        for name in names
    ]
    return table(("measure", "this model", *rivals), rows)
