"""A text in the pieces of two tokenizers: a teacher's, and the quickstart base's own, trimmed from it to what the text uses most."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from sbert_prune.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
"""Their order is their order of ids: the padding piece is 0, as BertConfig expects."""

_PREFIX = "##"
_TEACHER_PIECES = 48
_STUDENT_PIECES = 64  # a sentence falls into more pieces where some are missing
_LINES_AT_ONCE = 20_000
_LENGTH_NOISE = 3.0
"""Pieces. Rows mix with their neighbours in length, so no two epochs hold the same batches."""


@dataclass(frozen=True, slots=True)
class TrimmedTokenizer:
    """A tokenizer with some of another's pieces.

    rows: the other's id of each piece, in the order of the new ids. *Shape:* (pieces,)
    """

    tokenizer: Tokenizer
    rows: NDArray[np.intp]

    def save(self, folder: Path) -> None:
        """Write what AutoTokenizer needs."""
        self.tokenizer.no_truncation()
        self.tokenizer.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 128, **SPECIAL}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Padded:
    """Sentences as ids, filled up with 0, which the mask hides. *Shape of each:* (sentences, pieces)"""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Sequence[NDArray[np.int32]]) -> Padded:
        """Fill up to the longest."""
        lengths = np.array([len(sentence) for sentence in sentences])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate(sentences)
        return cls(ids, mask.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Batch:
    """The same sentences for teacher and student. cut_alike: the numbers of those that both have in the same pieces."""

    teacher: Padded
    student: Padded
    cut_alike: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sentences as ids of both tokenizers.

    cut_alike: whether both cut a sentence into the same pieces, so that its tokens can be compared. *Shape:* (sentences,)
    """

    teacher: tuple[NDArray[np.int32], ...]
    student: tuple[NDArray[np.int32], ...]
    cut_alike: NDArray[np.bool_]

    def batch(self, rows: NDArray[np.intp]) -> Batch:
        """Some rows, padded."""
        teacher, student = (Padded.of([ids[row] for row in rows]) for ids in (self.teacher, self.student))
        return Batch(teacher, student, self.cut_alike[rows].nonzero()[0])

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Sentences of like length together, every sentence once an epoch, epoch after epoch without end."""
        lengths = np.fromiter(map(len, self.student), dtype=np.float64, count=len(self.student))
        while True:
            by_length = np.argsort(lengths + rng.uniform(0, _LENGTH_NOISE, len(lengths)))
            for start in rng.permutation(np.arange(0, len(by_length) - batch_size + 1, batch_size)):
                yield self.batch(by_length[start : start + batch_size])


def load_teacher_tokenizer(folder: Path) -> Tokenizer:
    """Read a WordPiece tokenizer. Raises EncoderError for a folder without one."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EncoderError(f"{folder} holds no tokenizer.json. Save the teacher's tokenizer there: tokenizer.save_pretrained(folder).")
    spec = json.loads(path.read_bytes())
    vocabulary = spec["model"].get("vocab", {})
    if spec["model"].get("type") != "WordPiece" or not all(piece in vocabulary for piece in SPECIAL.values()):
        raise EncoderError(f"{path} is a {spec['model'].get('type')} tokenizer; expected WordPiece with {', '.join(SPECIAL.values())}.")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_TEACHER_PIECES)
    return tokenizer


def tokenize(teacher: Tokenizer, sentences: Sequence[str], num_pieces: int) -> tuple[TrimmedTokenizer, Corpus]:
    """Trim the teacher's tokenizer to the pieces that the sentences use most, and cut them with both."""
    teacher_ids = _encode(teacher, sentences)
    trimmed = trim(teacher, np.bincount(np.concatenate(teacher_ids), minlength=teacher.get_vocab_size()), num_pieces)
    trimmed.tokenizer.enable_truncation(_STUDENT_PIECES)
    student_ids = _encode(trimmed.tokenizer, sentences)
    pairs = zip(teacher_ids, student_ids, strict=True)
    cut_alike = [len(left) == len(right) and bool((left == trimmed.rows[right]).all()) for left, right in pairs]
    return trimmed, Corpus(teacher_ids, student_ids, np.array(cut_alike))


def trim(teacher: Tokenizer, counts: NDArray[np.intp], num_pieces: int) -> TrimmedTokenizer:
    """Keep the special pieces, every printable character, and then the pieces with the highest counts.

    counts: how often each of the teacher's ids occurs; a piece that never does is left out. *Shape:* (teacher's pieces,)
    """
    vocabulary = teacher.get_vocab()
    special = [vocabulary[piece] for piece in SPECIAL.values()]
    kept = {*special, *(number for piece, number in vocabulary.items() if _is_character(piece))}
    by_count = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] and int(number) not in kept]
    kept.update(by_count[: max(0, num_pieces - len(kept))])
    rows = np.array([*special, *sorted(kept.difference(special))], dtype=np.intp)
    pieces = {number: piece for piece, number in vocabulary.items()}
    return TrimmedTokenizer(_with_pieces(teacher, [pieces[row] for row in rows.tolist()]), rows)


def _is_character(piece: str) -> bool:
    """Any ASCII word can be spelled with these."""
    character = piece.removeprefix(_PREFIX)
    return len(character) == 1 and character in string.printable


def _with_pieces(teacher: Tokenizer, pieces: Sequence[str]) -> Tokenizer:
    """The same tokenizer over these pieces only, their ids in the order given. Ids stand in three places of its JSON."""
    spec: dict[str, Any] = json.loads(teacher.to_str())
    new = {piece: number for number, piece in enumerate(pieces)}
    spec["model"]["vocab"] = new
    spec["truncation"] = spec["padding"] = None
    spec["added_tokens"] = [{**added, "id": new[added["content"]]} for added in spec["added_tokens"] if added["content"] in new]
    processor = spec["post_processor"]
    for piece, entry in processor.get("special_tokens", {}).items():
        entry["ids"] = [new[piece]]
    for end in {"cls", "sep"} & processor.keys():  # of a BertProcessing, where they are pairs of piece and id
        processor[end] = [processor[end][0], new[processor[end][0]]]
    return Tokenizer.from_str(json.dumps(spec))


def _encode(tokenizer: Tokenizer, sentences: Sequence[str]) -> tuple[NDArray[np.int32], ...]:
    """In portions: an Encoding holds far more than the ids that are kept of it."""
    portions = (sentences[start : start + _LINES_AT_ONCE] for start in range(0, len(sentences), _LINES_AT_ONCE))
    return tuple(np.array(found.ids, dtype=np.int32) for portion in portions for found in tokenizer.encode_batch(list(portion)))
