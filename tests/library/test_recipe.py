"""A recipe is checked once, when it is loaded, and its digest identifies what it builds."""

import pytest
from pydantic import ValidationError

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.dump import dump_recipe
from sbert_prune.recipe.files import load_recipe
from sbert_prune.recipe.recipe import parameter_name

CHANGED = {
    "base_model": "org/other",
    "layers": "3",
    "strategy": "drop-bottom",
    "schedule": "9,6",
    "vocabulary": "8000",
    "vocabulary_corpus": "corpus.txt",
    "pooling": "cls",
    "max_seq_length": "99",
    "nli.data": "other.csv",
    "nli.epochs": "0.5",
    "nli.batch_size": "7",
    "nli.learning_rate": "1e-5",
    "nli.warmup_ratio": "0.3",
    "nli.max_rows": "100",
    "nli.loss": "softmax",
    "nli.scale": "10",
    "nli.directions": "both",
    "nli.hard_negatives": "false",
    "nli.accumulate": "2",
    "nli.mini_batch_size": "5",
    "nli.evaluate_every": "0.5",
    "nli.keep": "last",
    "nli.patience": "2",
    "nli.pooling": "cls",
    "nli.distillation": "0.5",
    "nli.adaptive_layers": "true",
    "nli.matryoshka_dims": "64,32",
    "sts.data": "other.csv",
    "sts.epochs": "0.5",
    "sts.batch_size": "7",
    "sts.learning_rate": "1e-5",
    "sts.warmup_ratio": "0.3",
    "sts.max_rows": "100",
    "sts.score_range": "0-4",
    "sts.loss": "cosent",
    "sts.scale": "10",
    "sts.accumulate": "2",
    "sts.mini_batch_size": "5",
    "sts.evaluate_every": "0.5",
    "sts.keep": "last",
    "sts.patience": "2",
    "sts.pooling": "cls",
    "sts.distillation": "0.5",
    "sts.adaptive_layers": "true",
    "sts.matryoshka_dims": "64,32",
    "phases": "distil,sts",
    "distil.teacher": "org/teacher",
    "distil.data": "corpus.txt",
    "distil.layer_weight": "1",
    "distil.epochs": "0.5",
    "distil.batch_size": "7",
    "distil.learning_rate": "1e-5",
    "distil.warmup_ratio": "0.3",
    "distil.max_rows": "100",
    "distil.accumulate": "2",
    "distil.mini_batch_size": "5",
    "distil.evaluate_every": "0.5",
    "distil.keep": "last",
    "distil.patience": "2",
    "seed": "7",
    "precision": "bfloat16",
    "save_precision": "float16",
    "on_bad_rows": "skip",
    "split": "0.9,0.05,0.05",
    "keep_leaks": "true",
}
WHERE_IT_RUNS = {
    "name": "other",
    "device": "cpu",
    "registered_model": "other",
    "convert_pickle": "true",
    "checkpoint_minutes": "1",
}
WHERE_IT_RUNS |= {
    "sts_eval": "hindi=hi.tsv,other=folder",
    "classification": "news=news, of today.csv",
    "robustness": "0",
    "mteb": "STS12,SICK-R",
}
WHAT_MAKES_IT_SMALLER = ("layers", "strategy", "schedule", "vocabulary", "vocabulary_corpus", "save_precision")
WHERE_IT_LIES = ("base_model", "nli.data", "sts.data")
WHO_TEACHES = ("nli.distillation", "sts.distillation", *(key for key in CHANGED if key.startswith("distil.")))

OWN = """
name: mine
base_model: quickstart
layers: {layers}
nli: {{data: quickstart, epochs: 1, batch_size: 8, learning_rate: 1.0e-4}}
sts: {{data: quickstart, epochs: 1, batch_size: 8, learning_rate: 1.0e-4, score_range: {score_range}}}
"""


@pytest.fixture
def own_recipe(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def test_single_values_are_overridden_by_their_path():
    recipe = load_recipe("quickstart", {"nli.epochs": "0.25", "seed": "7", "layers": "0,2,4", "sts.max_rows": "10"})

    assert (recipe.nli.epochs, recipe.seed, recipe.layers, recipe.sts.max_rows) == (0.25, 7, "0,2,4", 10)
    assert recipe.sts.epochs == load_recipe("quickstart").sts.epochs


def test_a_recipe_shown_flat_can_be_given_back_as_overrides():
    recipe = load_recipe(
        "quickstart", {key: value for key, value in CHANGED.items() if key not in {"sts.score_range", "layers"}}
    )

    again = load_recipe("quickstart", {key: value for key, value in recipe.flat().items() if value})

    assert again == recipe


def test_a_recipe_cannot_be_changed():
    recipe = load_recipe("quickstart")

    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 7


@pytest.mark.parametrize(
    ("text", "expected"), [("0-5", (0, 5)), (" 0 - 5 ", (0, 5)), ("1-4.5", (1, 4.5)), ("0-1e2", (0, 100))], ids=str
)
def test_a_score_range_is_written_as_low_and_high(text, expected):
    recipe = load_recipe("quickstart", {"sts.score_range": text})

    assert recipe.sts.score_range == expected


@pytest.mark.parametrize(("score_range", "expected"), [("0-5", (0, 5)), ("[-1, 1]", (-1, 1)), ("null", None)])
@pytest.mark.parametrize(("layers", "as_text"), [("6", "6"), ('"0,2,4-7"', "0,2,4-7"), ("0,2,4-7", "0,2,4-7")])
def test_the_users_own_file_is_read(own_recipe, score_range, expected, layers, as_text):
    path = own_recipe(OWN.format(layers=layers, score_range=score_range))

    recipe = load_recipe(str(path), {"seed": "3"})

    assert (recipe.name, recipe.layers, recipe.sts.score_range, recipe.seed) == ("mine", as_text, expected, 3)
    assert recipe.registered_model == "sbert-mine"


def test_what_is_noted_about_a_recipe_is_no_setting(own_recipe):
    plain = load_recipe(str(own_recipe(OWN.format(layers=6, score_range="null"))))
    notes = "about: A line.\nhints: {sts_data: Ask Ann.}\ndownloads: {nli_data: 3}\n"

    noted = load_recipe(str(own_recipe(OWN.format(layers=6, score_range="null") + notes)))

    assert noted != plain
    assert (noted.flat(), noted.digest) == (plain.flat(), plain.digest)
    assert (noted.hint("sts_data"), noted.hint("nli_data")) == ("Ask Ann.", "")


def test_a_recipe_with_other_data_says_so(own_recipe):
    plain = load_recipe("quickstart", {"seed": "3"})
    own = load_recipe("quickstart", {"base_model": "org/encoder", "nli.data": "nli.tsv", "seed": "3"})

    assert plain.about is not None
    assert plain.about.startswith("A small base and generated English data")
    assert own.about == "quickstart with base_model=org/encoder, nli_data=nli.tsv"
    path = own_recipe(dump_recipe(own))
    assert load_recipe(str(path)) == own


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("hints: {sts.data: Ask Ann.}", "hints name 'sts.data', which is no parameter; did you mean 'sts_data'."),
        (
            "downloads: {everything: 3}",
            "downloads name 'everything', which is no parameter; write a parameter's name, such as sts_data.",
        ),
        ("downloads: {nli_data: much}", "downloads_nli_data=much: input should be a valid number"),
        ("downloads: {nli_data: -1}", "downloads_nli_data=-1: input should be greater than or equal to 0."),
    ],
)
def test_a_note_is_about_a_parameter(own_recipe, notes, message):
    path = own_recipe(OWN.format(layers=6, score_range="null") + notes)

    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))

    assert message in str(caught.value)


def test_the_table_of_changes_names_every_setting():
    assert set(CHANGED) | set(WHERE_IT_RUNS) == set(load_recipe("quickstart").flat())


@pytest.mark.parametrize(("key", "value"), CHANGED.items())
def test_a_setting_that_changes_the_result_changes_the_digest(key, value):
    recipe, changed = load_recipe("quickstart-paper"), load_recipe("quickstart-paper", {key: value})

    assert changed.digest != recipe.digest


@pytest.mark.parametrize(("key", "value"), WHERE_IT_RUNS.items())
def test_where_a_recipe_runs_and_is_registered_does_not_change_its_digest(key, value):
    recipe, changed = load_recipe("quickstart-paper"), load_recipe("quickstart-paper", {key: value})

    assert changed != recipe
    assert changed.digest == recipe.digest


@pytest.mark.parametrize(("key", "value"), [*CHANGED.items(), *WHERE_IT_RUNS.items()])
def test_variants_share_a_reference_exactly_when_only_their_layers_differ(key, value):
    recipe, changed = load_recipe("quickstart-paper"), load_recipe("quickstart-paper", {key: value})

    shared = {*WHAT_MAKES_IT_SMALLER, *WHO_TEACHES, *WHERE_IT_RUNS, *WHERE_IT_LIES}
    assert (changed.reference_digest == recipe.reference_digest) == (key in shared)


def test_a_newer_setting_leaves_the_digests_of_older_recipes_as_they_were():
    recipe = load_recipe("quickstart", {"save_precision": "float32"})

    assert "save_precision" not in recipe.model_settings()
    assert recipe.flat()["save_precision"] == "float32"


def test_equal_settings_written_differently_have_one_digest():
    plain = load_recipe("quickstart", {"nli.epochs": "2", "layers": "3", "sts.score_range": "0-5"})
    other = load_recipe("quickstart", {"nli.epochs": "2.0", "layers": " 3 ", "sts.score_range": "0.0-5.0"})

    assert plain.digest == other.digest


@pytest.mark.parametrize(
    "smaller", [{"layers": "3"}, {"strategy": "cka"}, {"schedule": "12,9,6"}, {"vocabulary": "8000"}], ids=str
)
def test_what_makes_a_variant_smaller_leaves_its_reference_the_same(smaller):
    plain, recipe = load_recipe("quickstart"), load_recipe("quickstart", smaller)

    assert recipe.reference_digest == plain.reference_digest
    assert recipe.of_reference(12) == plain.of_reference(12)
    assert (recipe.of_reference(12).layers, recipe.of_reference(12).vocabulary, recipe.of_reference(12).schedule) == (
        "12",
        "all",
        None,
    )


def test_the_recipe_of_the_reference_has_a_digest_of_its_own():
    recipe = load_recipe("quickstart", {"vocabulary": "0.99"})

    assert recipe.digest != recipe.of_reference(12).digest  # a frozen value remembers its digest: the copy must not


def test_a_schedule_says_at_how_many_layers_it_ends():
    recipe = load_recipe("quickstart", {"schedule": "12, 8,4"})

    assert (recipe.schedule, recipe.layers) == ((12, 8, 4), "4")


@pytest.mark.parametrize("text", ["0.7,0.2,0.1", " 0.7 , 0.2,0.1000001 "])
def test_one_file_is_split_by_three_shares(text):
    recipe = load_recipe("quickstart", {"split": text})

    assert recipe.split == pytest.approx((0.7, 0.2, 0.1), abs=1e-6)


@pytest.mark.parametrize(("text", "expected"), [("all", "all"), ("8000", "8000"), ("0.9990", "0.999"), ("1.0", "1.0")])
def test_a_vocabulary_is_written_in_one_way(text, expected):
    assert load_recipe("quickstart", {"vocabulary": text}).vocabulary == expected


@pytest.mark.parametrize(("written", "expected"), [("8000", "8000"), ("0.999", "0.999"), ("all", "all")])
def test_a_vocabulary_in_a_file_may_be_a_number(own_recipe, written, expected):
    path = own_recipe(OWN.format(layers=6, score_range="null") + f"vocabulary: {written}\nschedule: [12, 6]\n")

    recipe = load_recipe(str(path))

    assert (recipe.vocabulary, recipe.schedule) == (expected, (12, 6))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schedule", "12", "schedule=12: write the numbers of layers to pass through, such as 12,9,6."),
        ("schedule", "12,x", "schedule=12,x: write the numbers of layers to pass through, such as 12,9,6."),
        (
            "schedule",
            "6,9",
            "schedule=6,9: write two or more numbers of layers, each smaller than the one before, such as 12,9,6.",
        ),
        ("schedule", "6,0", "schedule=6,0: write two or more"),
        (
            "vocabulary",
            "abc",
            "vocabulary=abc: not a limit. Write all, a number of pieces such as 8000, or a share of a corpus",
        ),
        ("vocabulary", "0", "vocabulary=0: at least 1 piece must stay."),
        ("vocabulary", "1.5", "vocabulary=1.5: a share lies above 0 and is at most 1.0."),
        ("convert_pickle", "perhaps", "convert_pickle=perhaps: input should be a valid boolean"),
        ("nli.epochs", "many", "nli_epochs=many: input should be a valid number"),
        ("nli.epochs", "0", "nli_epochs=0: input should be greater than 0."),
        ("nli.epochs", "nan", "nli_epochs=nan: input should be"),
        ("sts.batch_size", "0", "sts_batch_size=0: input should be greater than or equal to 1."),
        ("sts.batch_size", "1.5", "sts_batch_size=1.5: input should be a valid integer"),
        ("nli.learning_rate", "2", "nli_learning_rate=2: input should be less than or equal to 1."),
        ("nli.warmup_ratio", "1.1", "nli_warmup_ratio=1.1: input should be less than or equal to 1."),
        ("nli.max_rows", "0", "nli_max_rows=0: input should be greater than or equal to 1."),
        ("nli.loss", "triplet", "nli_loss=triplet: input should be 'mnrl' or 'softmax'."),
        ("nli.scale", "0", "nli_scale=0: input should be greater than 0."),
        ("nli.scale", "inf", "nli_scale=inf: input should be a finite number."),
        ("sts.score_range", "5", "sts_score_range=5: write a range as LOW-HIGH, such as 0-5."),
        ("sts.score_range", "5-0", "sts_score_range=5-0: write the lower end first, such as 0-5."),
        ("sts.score_range", "3-3", "sts_score_range=3-3: write the lower end first, such as 0-5."),
        ("sts.score_range", "0-inf", "sts_score_range"),
        ("sts.score_range", "a-5", "sts_score_range"),
        ("pooling", "max", "pooling=max: input should be 'mean' or 'cls'."),
        ("max_seq_length", "3", "max_seq_length=3: input should be greater than or equal to 4."),
        ("seed", "-1", "seed=-1: input should be greater than or equal to 0."),
        ("seed", "4294967296", "seed=4294967296: input should be less than 4294967296."),
        ("precision", "float16", "precision=float16: input should be 'auto', 'float32' or 'bfloat16'."),
        ("device", "gpu", "device=gpu: "),
        ("on_bad_rows", "ignore", "on_bad_rows=ignore: input should be 'error' or 'skip'."),
        ("registered_model", "a/b", "registered_model=a/b: "),
        ("layers", "", "layers=: string should have at least 1 character."),
        ("base_model", "  ", "base_model="),
        (
            "nli",
            "5",
            "nli=5: this is a group. Write its settings below it, indented, such as epochs: 1, or leave it out.",
        ),
        ("split", "0.8,0.2", "split=0.8,0.2: write three shares above 0, of train, dev and test, such as 0.8,0.1,0.1."),
        ("split", "0.8,0.2,0", "split=0.8,0.2,0: write three shares above 0"),
        ("split", "80/10/10", "split=80/10/10: write three shares above 0"),
        ("split", "0.8,x,0.1", "split=0.8,x,0.1: write three shares above 0"),
        ("split", "nan,0.5,0.5", "split=nan,0.5,0.5: write three shares above 0"),
        (
            "split",
            "0.8,0.2,0.2",
            "split=0.8,0.2,0.2: the shares of train, dev and test sum to 1.2, not to 1. Write them such as "
            "0.8,0.1,0.1.",
        ),
        ("keep_leaks", "some", "keep_leaks=some: input should be a valid boolean"),
        ("sts_eval", "hi.tsv", "sts_eval=hi.tsv: 'hi.tsv' has no name. Expected NAME=FOLDER or NAME=FILE"),
        (
            "sts_eval",
            "test=a.csv",
            "sts_eval=test=a.csv: 'test' is the name of a split of sts_data; call the set otherwise, such as "
            "other-test",
        ),
        ("classification", "a=x,a=y", "classification=a=x,a=y: the name 'a' is given twice"),
        (
            "classification",
            "x_knn=a",
            "classification=x_knn=a: 'x_knn' ends as the metrics of nearest neighbours do; call the set otherwise",
        ),
        ("robustness", "-1", "robustness=-1: input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_answered_with_its_parameter_and_what_is_right(key, value, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", {key: value})

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", {"seed": "x", "sts.epochs": "y"})

    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {"seed=x", "sts_epochs=y"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sed", "The recipe quickstart.yaml has an unknown setting 'sed'. Did you mean 'seed'?"),
        ("nli.epocs", "The recipe quickstart.yaml has an unknown setting 'nli.epocs'. Did you mean 'epochs'?"),
        ("sts.lose", "The recipe quickstart.yaml has an unknown setting 'sts.lose'."),
        ("xyz", "The recipe quickstart.yaml has an unknown setting 'xyz'. Known: name, base_model, layers"),
        ("xyz.abc", "The recipe quickstart.yaml has an unknown setting 'xyz'."),
        ("seed.abc", ""),
    ],
)
def test_an_unknown_setting_is_an_error_that_suggests_the_right_one(key, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", {key: "1"})

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quikstart", "recipe=quikstart: no such recipe. Did you mean 'quickstart'? Use one of"),
        ("zzz", "recipe=zzz: no such recipe. Use one of"),
        ("zzz.yaml", "recipe=zzz.yaml: no such recipe."),
    ],
)
def test_an_unknown_recipe_is_answered_with_the_known_ones(name, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)

    assert str(caught.value).startswith(message)
    assert "or a .yaml file of your own" in str(caught.value)


@pytest.mark.parametrize("phase", ["5", "null", "[1]"])
def test_an_override_inside_something_that_is_no_phase_is_an_error_like_any_other(own_recipe, phase):
    path = own_recipe(f"name: mine\nnli: {phase}\n")

    with pytest.raises(RecipeError):
        load_recipe(str(path), {"nli.epochs": "2"})


def test_settings_are_named_as_users_give_them():
    assert (parameter_name("nli.epochs"), parameter_name("seed")) == ("nli_epochs", "seed")


@pytest.mark.parametrize(
    ("phases", "teacher", "expected"),
    [
        ("nli,sts", "reference", ("nli", "sts")),
        ("nli,distil,sts", "reference", ("nli", "sts")),
        ("distil,nli,sts", "org/teacher", ("nli", "sts")),
        ("sts", "reference", ("sts",)),
        ("distil,sts", "reference", ("sts",)),
        ("distil", "reference", ("nli", "sts")),
        ("distil", "org/teacher", ()),
    ],
)
def test_the_reference_learns_from_the_labels_alone(phases, teacher, expected):
    recipe = load_recipe("quickstart", {"phases": phases, "distil.teacher": teacher, "sts.distillation": "1"})

    reference = recipe.of_reference(12)

    assert reference.phases == expected
    assert not reference.has_teacher
    assert recipe.has_teacher == ("distil" in phases or "sts" in phases)


@pytest.mark.parametrize("phases", ["", "nli,nli", "nli;sts", "heal", "nli,"])
def test_phases_are_named_once_each(phases):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", {"phases": phases})

    assert str(caught.value) == (
        f"phases={phases}: write each phase once, in the order in which they run, such as nli,sts or distil,nli,sts."
    )


@pytest.mark.parametrize("dims", ["0", "128,x", "-3", "64;32"])
def test_matryoshka_dimensions_are_whole_numbers(dims):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", {"sts.matryoshka_dims": dims})

    assert str(caught.value).startswith(f"sts_matryoshka_dims={dims}: write ")
    assert str(caught.value).endswith("such as 128,64.")
