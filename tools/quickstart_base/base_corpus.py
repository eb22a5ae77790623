"""A text tokenized twice: by a teacher's tokenizer, and by that tokenizer trimmed to the most frequent pieces."""

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
"""In the order of their ids: the padding piece is 0, as BertConfig expects."""

_PREFIX = "##"
_TEACHER_PIECES = 48
_STUDENT_PIECES = 64  # more, because a smaller vocabulary splits a sentence into more pieces
_CHUNK_LINES = 20_000
_LENGTH_NOISE = 3.0
"""In pieces. It mixes rows of similar length, so that batches differ between epochs."""


@dataclass(frozen=True, slots=True)
class TrimmedTokenizer:
    """A tokenizer with a subset of the teacher's pieces.

    Attributes:
        tokenizer: The tokenizer.
        rows: The teacher's id of each piece, in the order of the new ids. *Shape:* (pieces,)
    """

    tokenizer: Tokenizer
    rows: NDArray[np.intp]

    def save(self, folder: Path) -> None:
        """Write the files that AutoTokenizer needs."""
        self.tokenizer.no_truncation()
        self.tokenizer.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 128, **SPECIAL}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Padded:
    """Sentences as ids, padded with 0, which the mask hides. *Shape of each:* (sentences, pieces)"""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Sequence[NDArray[np.int32]]) -> Padded:
        """Pad sentences to the longest one."""
        lengths = np.array([len(sentence) for sentence in sentences])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate(sentences)
        return cls(ids, mask.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Batch:
    """The same sentences for teacher and student.

    Attributes:
        teacher: As the teacher's ids.
        student: As the student's ids.
        same_pieces: Indices of the sentences that both tokenizers split into the same pieces. *Shape:* (indices,)
    """

    teacher: Padded
    student: Padded
    same_pieces: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sentences as ids of both tokenizers.

    Attributes:
        teacher: As the teacher's ids.
        student: As the student's ids.
        same_pieces: Whether both split a sentence into the same pieces, so that its tokens can be compared.
            *Shape:* (sentences,)
    """

    teacher: tuple[NDArray[np.int32], ...]
    student: tuple[NDArray[np.int32], ...]
    same_pieces: NDArray[np.bool_]

    def batch(self, rows: NDArray[np.intp]) -> Batch:
        """Return some rows as a padded batch."""
        teacher, student = (Padded.of([ids[row] for row in rows]) for ids in (self.teacher, self.student))
        return Batch(teacher, student, self.same_pieces[rows].nonzero()[0])

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield batches of sentences of similar length, every sentence at most once per epoch, without end."""
        lengths = np.fromiter(map(len, self.student), dtype=np.float64, count=len(self.student))
        while True:
            by_length = np.argsort(lengths + rng.uniform(0, _LENGTH_NOISE, len(lengths)))
            for start in rng.permutation(np.arange(0, len(by_length) - batch_size + 1, batch_size)):
                yield self.batch(by_length[start : start + batch_size])


def load_teacher_tokenizer(folder: Path) -> Tokenizer:
    """Read a WordPiece tokenizer.

    Raises:
        EncoderError: The folder has none.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise EncoderError(
            f"{folder} holds no tokenizer.json. Save the teacher's tokenizer there: tokenizer.save_pretrained(folder)."
        )
    spec = json.loads(path.read_bytes())
    vocabulary = spec["model"].get("vocab", {})
    if spec["model"].get("type") != "WordPiece" or not all(piece in vocabulary for piece in SPECIAL.values()):
        raise EncoderError(
            f"{path} is a {spec['model'].get('type')} tokenizer; expected WordPiece with {', '.join(SPECIAL.values())}."
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_TEACHER_PIECES)
    return tokenizer


def tokenize(teacher: Tokenizer, sentences: Sequence[str], num_pieces: int) -> tuple[TrimmedTokenizer, Corpus]:
    """Trim the teacher's tokenizer to the pieces that the sentences use most, and tokenize them with both."""
    teacher_ids = _encode(teacher, sentences)
    trimmed = trim(teacher, np.bincount(np.concatenate(teacher_ids), minlength=teacher.get_vocab_size()), num_pieces)
    trimmed.tokenizer.enable_truncation(_STUDENT_PIECES)
    student_ids = _encode(trimmed.tokenizer, sentences)
    pairs = zip(teacher_ids, student_ids, strict=True)
    same_pieces = [len(left) == len(right) and bool((left == trimmed.rows[right]).all()) for left, right in pairs]
    return trimmed, Corpus(teacher_ids, student_ids, np.array(same_pieces))


def trim(teacher: Tokenizer, counts: NDArray[np.intp], num_pieces: int) -> TrimmedTokenizer:
    """Keep the special pieces, every printable character, and then the pieces with the highest counts.

    Args:
        teacher: The teacher's tokenizer.
        counts: How often each of the teacher's ids occurs. Pieces that never occur are left out.
            *Shape:* (teacher's pieces,)
        num_pieces: Size of the new vocabulary, at most.
    """
    vocabulary = teacher.get_vocab()
    special = [vocabulary[piece] for piece in SPECIAL.values()]
    kept = {*special, *(number for piece, number in vocabulary.items() if _is_character(piece))}
    order = map(int, np.argsort(-counts, kind="stable"))
    by_count = [number for number in order if counts[number] and number not in kept]
    kept.update(by_count[: max(0, num_pieces - len(kept))])
    rows = np.array([*special, *sorted(kept.difference(special))], dtype=np.intp)
    pieces = {number: piece for piece, number in vocabulary.items()}
    return TrimmedTokenizer(_with_pieces(teacher, [pieces[row] for row in rows.tolist()]), rows)


def _is_character(piece: str) -> bool:
    """Return whether a piece is a single ASCII character: with these, any ASCII word can be split into pieces."""
    character = piece.removeprefix(_PREFIX)
    return len(character) == 1 and character in string.printable


def _with_pieces(teacher: Tokenizer, pieces: Sequence[str]) -> Tokenizer:
    """Return the tokenizer with only these pieces, with ids in their order. Its JSON contains ids in three places."""
    spec: dict[str, Any] = json.loads(teacher.to_str())
    new = {piece: number for number, piece in enumerate(pieces)}
    spec["model"]["vocab"] = new
    spec["truncation"] = spec["padding"] = None
    spec["added_tokens"] = [
        {**added, "id": new[added["content"]]} for added in spec["added_tokens"] if added["content"] in new
    ]
    processor = spec["post_processor"]
    for piece, entry in processor.get("special_tokens", {}).items():
        entry["ids"] = [new[piece]]
    for end in {"cls", "sep"} & processor.keys():  # in a BertProcessing, these are pairs of piece and id
        processor[end] = [processor[end][0], new[processor[end][0]]]
    return Tokenizer.from_str(json.dumps(spec))


def _encode(tokenizer: Tokenizer, sentences: Sequence[str]) -> tuple[NDArray[np.int32], ...]:
    """Encode the sentences in chunks, because an Encoding takes far more memory than its ids."""
    chunks = (sentences[start : start + _CHUNK_LINES] for start in range(0, len(sentences), _CHUNK_LINES))
    encodings = (encoding for chunk in chunks for encoding in tokenizer.encode_batch(list(chunk)))
    return tuple(np.array(encoding.ids, dtype=np.int32) for encoding in encodings)
