"""Make the quickstart base: python -m tools.quickstart_base.make_base TEACHER_FOLDER SENTENCES.txt OUT_FOLDER --seconds 600.

What it does is told in distil_base.py, and how the embedded base was made with it in base/README.md.
"""

from __future__ import annotations

import argparse
import lzma
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_prune.errors import DataError, EncoderError, RecipeError, SbertPruneError
from sbert_prune.models.checkpoint import inspect_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.quickstart_base.base_corpus import TrimmedTokenizer
    from tools.quickstart_base.distil_base import Progress, Report

_TEACHER_DEPTH = 6
_HEAD_WIDTH = 32
_PRINT_EVERY = 10  # optimizer steps


@dataclass(frozen=True, slots=True)
class Distillation:
    """How a base is made.

    seconds: of training.  width: of the student, in heads of 32 each.  num_pieces: of its tokenizer, at most.
    """

    seconds: float
    width: int = 128
    num_pieces: int = 12_000
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    num_warmup_steps: int = 400

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise RecipeError(f"seconds={self.seconds:g}: training takes a time above 0. Give --seconds 600, for instance.")
        if self.width <= 0 or self.width % _HEAD_WIDTH:
            raise RecipeError(f"width={self.width}: attention heads are {_HEAD_WIDTH} wide. Give a multiple of {_HEAD_WIDTH}.")

    @property
    def num_heads(self) -> int:
        """Attention heads of a layer."""
        return self.width // _HEAD_WIDTH

    def learning_rate_at(self, optimizer_step: int, done: float) -> float:
        """Linear warm-up by steps, linear decay by the share of the time that is used up, to a fiftieth."""
        return self.learning_rate * min(1.0, optimizer_step / self.num_warmup_steps) * max(0.02, 1 - done)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything lies. resume: a folder that an earlier run wrote, to go on from."""

    teacher: Path
    sentences: Path
    out: Path
    resume: Path | None = None

    def __post_init__(self) -> None:
        _check_encoder(self.teacher, _TEACHER_DEPTH)
        if self.resume is not None:
            _check_encoder(self.resume, 2 * _TEACHER_DEPTH)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise EncoderError(f"{self.out} is there already and is not an empty folder. Name a new folder.")


def make_base(places: Places, settings: Distillation, report: Report) -> None:
    """Distil the teacher on the sentences and write encoder, tokenizer and maps into the new folder.

    Raises EncoderError for a teacher or a folder to resume that does not fit, DataError for the sentences.
    """
    sentences = read_sentences(places.sentences, at_least=settings.batch_size)

    from tools.quickstart_base.base_corpus import load_teacher_tokenizer, tokenize
    from tools.quickstart_base.distil_base import distil, load_student, load_teacher, new_student

    trimmed, corpus = tokenize(load_teacher_tokenizer(places.teacher), sentences, settings.num_pieces)
    teacher = load_teacher(places.teacher)
    if places.resume is None:
        student = new_student(teacher, trimmed.rows, settings)
    else:
        _check_same_pieces(places.resume, trimmed)
        student = load_student(places.resume, teacher)
    distil(teacher, student, corpus, settings, report)
    places.out.mkdir(parents=True, exist_ok=True)
    trimmed.save(places.out)
    student.save(places.out)


def read_sentences(path: Path, *, at_least: int) -> list[str]:
    """Read a file of one sentence a line, .txt or .txt.xz; empty lines are left out.

    Raises DataError for a file that is missing, of another kind, damaged, or too short.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there, or is not a file. Give a file of sentences, .txt or .txt.xz, one a line.")
    if not path.name.endswith((".txt", ".txt.xz")):
        raise DataError(f"{path} ends in {path.suffix or 'nothing'}; expected .txt or .txt.xz, one sentence a line.")
    data = path.read_bytes()
    try:
        text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf-8")
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not {path.suffix} in UTF-8, or it is cut off ({error}). Copy it again from where it came from."
        ) from error
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if len(sentences) < at_least:
        raise DataError(f"{path} holds {len(sentences):,} sentences, and one batch takes {at_least:,}. Give more.")
    return sentences


def _check_encoder(folder: Path, depth: int) -> None:
    checkpoint = inspect_checkpoint(folder)
    if checkpoint.config["model_type"] != "bert" or checkpoint.depth != depth:
        found = f"a {checkpoint.config['model_type']} of {checkpoint.depth} layers"
        raise EncoderError(
            f"{folder} holds {found}; expected a bert of {depth}. The teacher has {_TEACHER_DEPTH} layers, as all-MiniLM-L6-v2 has, "
            f"and what it taught has {2 * _TEACHER_DEPTH}."
        )


def _check_same_pieces(resume: Path, trimmed: TrimmedTokenizer) -> None:
    from tools.quickstart_base.base_corpus import load_teacher_tokenizer

    if load_teacher_tokenizer(resume).get_vocab() != trimmed.tokenizer.get_vocab():
        raise EncoderError(f"{resume} was made with other pieces than these sentences give. Resume with the sentences of its first run.")


def _print_progress() -> Report:
    losses: deque[float] = deque(maxlen=_PRINT_EVERY)

    def report(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.optimizer_step % _PRINT_EVERY == 0:
            mean = sum(losses) / len(losses)
            print(f"{progress.done:4.0%}  step {progress.optimizer_step:,}  loss {mean:.4f}  {progress.num_pieces:,} pieces", flush=True)

    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, make the base, and report; a user's mistake ends with exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m tools.quickstart_base.make_base", description="Make the quickstart base.")
    parser.add_argument("teacher", type=Path, metavar="TEACHER_FOLDER", help="a BERT of 6 layers, such as all-MiniLM-L6-v2")
    parser.add_argument("sentences", type=Path, metavar="SENTENCES", help="one sentence a line: .txt or .txt.xz")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="a new folder")
    parser.add_argument("--seconds", type=float, required=True, help="of training")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on from what an earlier run wrote")
    given = parser.parse_args(arguments)
    try:
        make_base(Places(given.teacher, given.sentences, given.out, given.resume), Distillation(given.seconds), _print_progress())
    except SbertPruneError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Wrote {given.out}")


if __name__ == "__main__":
    main()
