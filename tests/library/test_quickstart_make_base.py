"""The quickstart base is made from a teacher with six tiny layers."""

import lzma
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from sbert_prune.data.quickstart.generator import generate_sts
from sbert_prune.errors import DataError, EncoderError, RecipeError
from sbert_prune.models.checkpoint import inspect_checkpoint
from tools.quickstart_base.base_corpus import load_teacher_tokenizer, tokenize
from tools.quickstart_base.distil_base import load_student, load_teacher, new_student
from tools.quickstart_base.make_base import BasePaths, Distillation, main, make_base, read_sentences

SETTINGS = Distillation(seconds=2, width=32, num_pieces=95, batch_size=32, num_warmup_steps=5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tiny_encoder, tiny_tokenizer):
    """A teacher, its sentences, and a folder that does not exist yet."""
    folder = tmp_path_factory.mktemp("make_base")
    tiny_encoder("bert", depth=6, width=64).save_pretrained(folder / "teacher")
    tiny_tokenizer(0).save_pretrained(folder / "teacher")
    sentences = [
        sentence for row in generate_sts("train", num_pairs=150) for sentence in (row.sentence1, row.sentence2)
    ]
    (folder / "sentences.txt").write_text("\n".join(sentences) + "\n")
    return BasePaths(folder / "teacher", folder / "sentences.txt", folder / "new")


@pytest.fixture(scope="module")
def first_run(sources):
    """The folder of a finished run, and its losses."""
    paths = replace(sources, out=sources.out.with_name("first"))
    return paths.out, train(paths)


@pytest.fixture(scope="module")
def tokenized(sources):
    """The teacher's tokenizer, the trimmed one, and the sentences tokenized by both."""
    teacher = load_teacher_tokenizer(sources.teacher)
    return teacher, *tokenize(teacher, sources.sentences.read_text().splitlines(), SETTINGS.num_pieces)


def train(paths):
    losses = []
    make_base(paths, SETTINGS, lambda progress: losses.append(progress.loss))
    return losses


def test_what_is_made_is_a_whole_encoder_of_twice_the_depth(first_run):
    out, _ = first_run

    checkpoint = inspect_checkpoint(out)
    vectors = SentenceTransformer(str(out), device="cpu", model_kwargs={"dtype": torch.float32}).encode(
        ["a man sings", "x"]
    )

    assert (checkpoint.depth, checkpoint.config["dtype"], checkpoint.config["vocab_size"]) == (12, "float16", 95)
    assert vectors.shape == (2, 32)
    assert np.isfinite(vectors).all()


def test_nothing_that_is_written_is_a_pickle(first_run):
    names = {path.name for path in first_run[0].iterdir()}

    assert names == {"config.json", "model.safetensors", "maps.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_training_lowers_the_loss_and_a_resumed_run_goes_on_from_there(sources, first_run):
    out, losses = first_run

    resumed = train(replace(sources, out=sources.out.with_name("second"), resume=out))

    # Both runs see the same batches in the same order.
    assert sum(resumed[:3]) < 0.8 * sum(losses[:3])


def test_a_sentence_that_is_covered_gets_its_teachers_pieces(first_run, tokenized):
    teacher, trimmed, corpus = tokenized
    saved = Tokenizer.from_file(str(first_run[0] / "tokenizer.json"))
    covered = corpus.same_pieces.nonzero()[0]

    ids = corpus.student[covered[0]]

    assert 0 < len(covered) < len(corpus.same_pieces)
    assert [saved.id_to_token(piece) for piece in ids] == [
        teacher.id_to_token(piece) for piece in corpus.teacher[covered[0]]
    ]
    assert trimmed.rows[ids].tolist() == corpus.teacher[covered[0]].tolist()


def test_every_row_is_its_pieces_row(tokenized):
    teacher, trimmed, _ = tokenized

    pieces = [trimmed.tokenizer.id_to_token(number) for number in range(len(trimmed.rows))]

    assert pieces == [teacher.id_to_token(row) for row in trimmed.rows.tolist()]
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_a_piece_that_was_trimmed_away_is_spelled(tokenized):
    teacher, trimmed, _ = tokenized
    trimmed_away = sorted(set(teacher.get_vocab()) - set(trimmed.tokenizer.get_vocab()))

    spelled = trimmed.tokenizer.encode(trimmed_away[0], add_special_tokens=False).tokens

    assert "".join(piece.removeprefix("##") for piece in spelled) == trimmed_away[0]
    assert len(spelled) > 1


def test_as_wide_as_its_teacher_a_student_starts_with_the_same_distances_between_words(sources, tokenized):
    _, trimmed, _ = tokenized
    teacher = load_teacher(sources.teacher)

    student = new_student(teacher, trimmed.rows, replace(SETTINGS, width=64))

    ours = torch.pdist(student.encoder.embeddings.word_embeddings.weight.detach())
    theirs = torch.pdist(teacher.embeddings.word_embeddings.weight.detach()[torch.from_numpy(trimmed.rows)].float())
    ratios = ours / theirs
    assert (ratios.max() - ratios.min()).item() < 1e-3 * ratios.mean().item()


def test_an_epoch_holds_every_sentence_once(tokenized):
    *_, corpus = tokenized
    batches = corpus.batches(30, np.random.default_rng(0))

    epoch = [row[: int(size)].tobytes() for _ in range(10) for batch in [next(batches)] for row, size in sized(batch)]

    assert sorted(epoch) == sorted(ids.astype(np.int64).tobytes() for ids in corpus.student)


def sized(batch):
    return zip(batch.student.ids, batch.student.mask.sum(1), strict=True)


def test_compressed_sentences_are_the_same_sentences(sources, tmp_path):
    packed = tmp_path / "sentences.txt.xz"
    packed.write_bytes(lzma.compress(sources.sentences.read_bytes()))

    assert read_sentences(packed, at_least=1) == read_sentences(sources.sentences, at_least=1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("few.txt", b"one\n\ntwo\n", "holds 2 sentences, and one batch takes 32"),
        ("rows.csv", b"one\n", "ends in .csv; expected .txt or .txt.xz"),
        ("torn.txt.xz", lzma.compress(b"one\n" * 99)[:40], "is not .xz in UTF-8, or it is cut off"),
        ("latin.txt", "é\n".encode("latin-1") * 99, "is not .txt in UTF-8"),
        (None, b"", "does not exist, or is not a file"),
    ],
)
def test_sentences_that_cannot_be_used_are_refused(sources, tmp_path, name, content, message):
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        make_base(replace(sources, sentences=path), SETTINGS, print)


def test_a_teacher_of_another_depth_is_refused(sources, tiny_base):
    with pytest.raises(EncoderError, match="holds a bert of 4 layers; expected a bert of 6"):
        replace(sources, teacher=tiny_base("bert", depth=4))


def test_a_teacher_that_is_not_there_is_refused(sources, tmp_path):
    with pytest.raises(EncoderError, match=r"holds no config\.json"):
        replace(sources, teacher=tmp_path / "none")


def test_a_folder_that_holds_something_is_not_written_into(sources, first_run):
    with pytest.raises(EncoderError, match="is not an empty folder"):
        replace(sources, out=first_run[0])


def test_a_folder_without_maps_is_not_resumed(sources, first_run, tmp_path):
    for path in first_run[0].iterdir():
        if path.name != "maps.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())

    with pytest.raises(EncoderError, match=r"holds no maps\.safetensors, so it cannot be resumed"):
        make_base(replace(sources, resume=tmp_path), SETTINGS, print)


def test_maps_to_another_teacher_are_not_resumed(sources, first_run, tiny_encoder):
    with pytest.raises(EncoderError, match=r"maps\.safetensors does not fit this teacher's 6 layers of width 48"):
        load_student(first_run[0], tiny_encoder("bert", depth=6, width=48))


def test_other_pieces_are_not_resumed(sources, first_run):
    with pytest.raises(EncoderError, match="was made with other pieces than these sentences give"):
        make_base(replace(sources, resume=first_run[0]), replace(SETTINGS, num_pieces=90), print)


def test_more_components_than_there_are_pieces_cannot_be_had(sources, tokenized):
    _, trimmed, _ = tokenized

    with pytest.raises(EncoderError, match="gives 95 pieces of width 64, too few for a student of width 96"):
        new_student(load_teacher(sources.teacher), trimmed.rows, replace(SETTINGS, width=96))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0.0}, "seconds=0: training takes a time above 0"),
        ({"width": 33}, "width=33: attention heads are 32 wide"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        replace(SETTINGS, **settings)


def test_the_command_answers_a_mistake_with_exit_status_2(sources, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(sources.teacher), str(tmp_path / "none.txt"), str(tmp_path / "out"), "--seconds", "1"])

    assert stopped.value.code == 2
    assert "none.txt does not exist" in capsys.readouterr().err
