"""Make the quickstart base.

    python -m tools.quickstart_base.make_base TEACHER_FOLDER SENTENCES.txt OUT_FOLDER --seconds 600

distil_base.py describes the method; sbert_prune/data/quickstart/base/README.md records how the shipped base was made.
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

    Attributes:
        seconds: Training time.
        width: Width of the student, a multiple of 32, the width of a head.
        num_pieces: Size of its vocabulary, at most.
        batch_size: Sentences per optimizer step.
        learning_rate: Highest learning rate.
        num_warmup_steps: Optimizer steps of warm-up.
    """

    seconds: float
    width: int = 128
    num_pieces: int = 12_000
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    num_warmup_steps: int = 400

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise RecipeError(
                f"seconds={self.seconds:g}: training takes a time above 0. Give --seconds 600, for instance."
            )
        if self.width <= 0 or self.width % _HEAD_WIDTH:
            raise RecipeError(
                f"width={self.width}: attention heads are {_HEAD_WIDTH} wide. Give a multiple of {_HEAD_WIDTH}."
            )

    @property
    def num_heads(self) -> int:
        """Number of attention heads per layer."""
        return self.width // _HEAD_WIDTH

    def learning_rate_at(self, optimizer_step: int, done: float) -> float:
        """Return the learning rate: linear warm-up by steps, times linear decay by time to a fiftieth.

        Args:
            optimizer_step: Number of the optimizer step, from 1.
            done: Share of the time used, 0 to 1.
        """
        return self.learning_rate * min(1.0, optimizer_step / self.num_warmup_steps) * max(0.02, 1 - done)


@dataclass(frozen=True, slots=True)
class BasePaths:
    """The input and output files.

    Attributes:
        teacher: Folder of the teacher.
        sentences: File of sentences.
        out: A new or empty folder for the base.
        resume: The output folder of an earlier run to continue from.
    """

    teacher: Path
    sentences: Path
    out: Path
    resume: Path | None = None

    def __post_init__(self) -> None:
        _check_encoder(self.teacher, _TEACHER_DEPTH)
        if self.resume is not None:
            _check_encoder(self.resume, 2 * _TEACHER_DEPTH)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise EncoderError(f"{self.out} already exists and is not an empty folder. Give a new folder.")


def make_base(paths: BasePaths, settings: Distillation, report: Report) -> None:
    """Distil the teacher on the sentences and write encoder, tokenizer and maps into the new folder.

    Raises:
        EncoderError: The teacher or the folder to resume from does not fit.
        DataError: The sentences cannot be used.
    """
    sentences = read_sentences(paths.sentences, at_least=settings.batch_size)

    from tools.quickstart_base.base_corpus import load_teacher_tokenizer, tokenize
    from tools.quickstart_base.distil_base import distil, load_student, load_teacher, new_student

    trimmed, corpus = tokenize(load_teacher_tokenizer(paths.teacher), sentences, settings.num_pieces)
    teacher = load_teacher(paths.teacher)
    if paths.resume is None:
        student = new_student(teacher, trimmed.rows, settings)
    else:
        _check_same_pieces(paths.resume, trimmed)
        student = load_student(paths.resume, teacher)
    distil(teacher, student, corpus, settings, report)
    paths.out.mkdir(parents=True, exist_ok=True)
    trimmed.save(paths.out)
    student.save(paths.out)


def read_sentences(path: Path, *, at_least: int) -> list[str]:
    """Read a file with one sentence per line, .txt or .txt.xz, skipping empty lines.

    Args:
        path: The file.
        at_least: The least number of sentences.

    Raises:
        DataError: The file is missing, of another kind, damaged, or too short.
    """
    if not path.is_file():
        raise DataError(
            f"{path} does not exist, or is not a file. Give a file of sentences, .txt or .txt.xz, one a line."
        )
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
        raise EncoderError(
            f"{folder} holds a {checkpoint.config['model_type']} of {checkpoint.depth} layers; "
            f"expected a bert of {depth}. The teacher has {_TEACHER_DEPTH} layers, like all-MiniLM-L6-v2, "
            f"and the student has {2 * _TEACHER_DEPTH}."
        )


def _check_same_pieces(resume: Path, trimmed: TrimmedTokenizer) -> None:
    from tools.quickstart_base.base_corpus import load_teacher_tokenizer

    if load_teacher_tokenizer(resume).get_vocab() != trimmed.tokenizer.get_vocab():
        raise EncoderError(
            f"{resume} was made with other pieces than these sentences give. "
            "Resume with the sentences of its first run."
        )


def _print_progress() -> Report:
    losses: deque[float] = deque(maxlen=_PRINT_EVERY)

    def report(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.optimizer_step % _PRINT_EVERY == 0:
            mean = sum(losses) / len(losses)
            step, num_pieces = progress.optimizer_step, progress.num_pieces
            print(f"{progress.done:4.0%}  step {step:,}  loss {mean:.4f}  {num_pieces:,} pieces", flush=True)

    return report


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of the user exits with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.quickstart_base.make_base", description="Make the quickstart base."
    )
    parser.add_argument(
        "teacher", type=Path, metavar="TEACHER_FOLDER", help="a BERT of 6 layers, such as all-MiniLM-L6-v2"
    )
    parser.add_argument("sentences", type=Path, metavar="SENTENCES", help="one sentence a line: .txt or .txt.xz")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="a new folder")
    parser.add_argument("--seconds", type=float, required=True, help="of training")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="continue from the output of an earlier run")
    options = parser.parse_args(arguments)
    try:
        paths = BasePaths(options.teacher, options.sentences, options.out, options.resume)
        make_base(paths, Distillation(options.seconds), _print_progress())
    except SbertPruneError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Wrote {options.out}")


if __name__ == "__main__":
    main()
