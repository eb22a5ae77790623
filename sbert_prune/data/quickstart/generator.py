"""Deterministic English NLI and STS rows for the embedded quickstart."""

from dataclasses import dataclass
from random import Random

from sbert_prune.data.quickstart import rewrites
from sbert_prune.data.quickstart.lexicon import Lexicon, load_lexicon
from sbert_prune.data.quickstart.rendering import Words, choose_words, render
from sbert_prune.data.quickstart.rewrites import Rewrite
from sbert_prune.data.quickstart.scenes import DETAILS, Scene, draw_scene
from sbert_prune.data.quickstart.similarity import similarity
from sbert_prune.data.quickstart.splits import Split, normalise, parse_split, split_of
from sbert_prune.data.rows import Label, NliRow, StsRow

NUM_SCENES: dict[Split, int] = {"train": 2000, "dev": 200, "test": 400}
NUM_PAIRS: dict[Split, int] = {"train": 3000, "dev": 2000, "test": 1000}

_NUM_WORDS = range(5, 19)
# A sentence belongs to one split (splits.py), so words are drawn again until a sentence belongs to the right one. After
# some tries the scene is discarded.
_NUM_WORDINGS = 4


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table of relations.

    If the meaning stays the same, most words change; if it changes, most words stay: so counting common words misleads.

    Attributes:
        weight: How often the row is drawn, relative to others.
        rewrites: The changes to the scene.
        contrast: The probability with which a word is replaced by a synonym.
    """

    weight: int
    rewrites: tuple[Rewrite, ...]
    contrast: float


_STS: tuple[_Row, ...] = (
    _Row(16, (), 0.7),
    _Row(8, (rewrites.lose_detail,), 0.6),
    _Row(6, (rewrites.lose_detail, rewrites.lose_detail), 0.6),
    _Row(6, (rewrites.generalise,), 0.6),
    _Row(5, (rewrites.generalise, rewrites.lose_detail), 0.6),
    _Row(8, (rewrites.change_detail,), 0.5),
    _Row(5, (rewrites.change_place,), 0.5),
    _Row(5, (rewrites.oppose_any,), 0.3),
    _Row(4, (rewrites.change_core,), 0.4),
    _Row(4, (rewrites.change_verb,), 0.4),
    _Row(2, (rewrites.oppose_verb,), 0.3),
    _Row(4, (rewrites.swap,), 0.3),
    _Row(4, (rewrites.negate,), 0.3),
    _Row(3, (rewrites.negate, rewrites.lose_detail), 0.4),
    _Row(6, (rewrites.change_core, rewrites.change_detail), 0.4),
    _Row(8, (rewrites.change_core, rewrites.change_core), 0.4),
    _Row(8, (rewrites.same_agent_elsewhere,), 0.5),
    _Row(8, (rewrites.same_topic,), 0.5),
    _Row(15, (rewrites.unrelated,), 0.5),
)
_NLI: dict[Label, tuple[_Row, ...]] = {
    Label.ENTAILMENT: (
        _Row(3, (), 0.9),
        _Row(3, (rewrites.lose_detail,), 0.9),
        _Row(2, (rewrites.lose_detail, rewrites.lose_detail), 0.9),
        _Row(2, (rewrites.generalise,), 0.9),
        _Row(2, (rewrites.generalise, rewrites.lose_detail), 0.9),
    ),
    Label.NEUTRAL: (
        _Row(4, (rewrites.add_detail,), 0.5),
        _Row(3, (rewrites.lose_detail, rewrites.add_detail), 0.5),
        _Row(2, (rewrites.generalise, rewrites.add_detail), 0.5),
    ),
    Label.CONTRADICTION: (
        _Row(3, (rewrites.negate,), 0.3),
        _Row(2, (rewrites.negate, rewrites.lose_detail), 0.3),
        _Row(3, (rewrites.oppose_any,), 0.2),
        _Row(2, (rewrites.oppose_verb,), 0.2),
        _Row(1, (rewrites.swap,), 0.2),
        _Row(3, (rewrites.change_core,), 0.2),
        _Row(2, (rewrites.change_place,), 0.2),
    ),
}


def generate_nli(split: str, *, num_scenes: int | None = None, seed: int = 0) -> list[NliRow]:
    """Return three rows for each premise: entailment, neutral and contradiction, so that each premise gives a triplet.

    Raises DataError for an unknown split.
    """
    writer = _Writer.open(parse_split(split), f"nli {seed}")
    wanted = NUM_SCENES[writer.split] if num_scenes is None else num_scenes
    rows: list[NliRow] = []
    seen: set[str] = set()
    while len(seen) < wanted:
        premise = writer.draw()
        if premise is None or normalise(premise.text) in seen:
            continue
        hypotheses = {label: writer.rewrite(premise, writer.choose(table)) for label, table in _NLI.items()}
        if all(hypotheses.values()):
            seen.add(normalise(premise.text))
            rows += [
                NliRow(premise.text, hypothesis.text, label) for label, hypothesis in hypotheses.items() if hypothesis
            ]
    return rows


def generate_sts(split: str, *, num_pairs: int | None = None, seed: int = 0) -> list[StsRow]:
    """Return pairs with a score computed from the roles in which their scenes differ (similarity.py).

    Raises DataError for an unknown split.
    """
    writer = _Writer.open(parse_split(split), f"sts {seed}")
    wanted = NUM_PAIRS[writer.split] if num_pairs is None else num_pairs
    rows: dict[frozenset[str], StsRow] = {}
    while len(rows) < wanted:
        row = writer.choose(_STS)
        left = writer.draw()
        right = left and writer.rewrite(left, row)
        if left and right:
            pair = frozenset((normalise(left.text), normalise(right.text)))
            rows.setdefault(pair, StsRow(left.text, right.text, similarity(left.scene, right.scene)))
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    scene: Scene
    words: Words
    is_past: bool


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes sentences that belong to one split."""

    split: Split
    rng: Random
    lexicon: Lexicon

    @classmethod
    def open(cls, split: Split, purpose: str) -> "_Writer":
        # Random seeds from a string by its SHA-512, which is the same in every process and Python version.
        return cls(split, Random(f"{purpose} {split}"), load_lexicon(split))

    def choose(self, table: tuple[_Row, ...]) -> _Row:
        return self.rng.choices(table, weights=[row.weight for row in table])[0]

    def draw(self) -> _Sentence | None:
        """Return a new sentence of two details or more, in dev and test about concepts not in train, or None."""
        scene = draw_scene(self.rng, self.lexicon)
        core = [concept for concept in (scene.agent, scene.verb, scene.patient) if concept]
        is_new = self.split == "train" or sum(concept.is_reserved for concept in core) > len(core) / 2
        is_rich = sum(scene.role(role) is not None for role in DETAILS) > 1
        return self._write(scene, None, 1.0) if is_new and is_rich else None

    def rewrite(self, sentence: _Sentence, row: _Row) -> _Sentence | None:
        """Return a sentence for the rewritten scene, or None if the rewrites do not apply."""
        scene: Scene | None = sentence.scene
        for rewrite in row.rewrites:
            scene = rewrite(scene, self.rng, self.lexicon) if scene else None
        return self._write(scene, sentence, row.contrast) if scene else None

    def _write(self, scene: Scene, earlier: _Sentence | None, contrast: float) -> _Sentence | None:
        is_past = earlier.is_past if earlier else self.rng.random() < 0.3
        for _ in range(_NUM_WORDINGS):
            words = choose_words(scene, self.rng, earlier=earlier.words if earlier else None, contrast=contrast)
            for text in render(scene, words, self.rng, is_past=is_past):
                is_new = earlier is None or normalise(text) != normalise(earlier.text)
                if is_new and split_of(text) == self.split and text.count(" ") + 1 in _NUM_WORDS:
                    return _Sentence(text, scene, words, is_past)
        return None
