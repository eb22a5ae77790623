"""The recipes of the package can be used as they are, and a recipe that is written loads to an equal one."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.dump import describe_recipe, dump_recipe, write_recipe_file
from sbert_prune.recipe.files import PRESETS, load_recipe, presets, read_yaml

NAMES = ("english", "hindi", "marathi", "marathi-muril", "minilm", "quickstart", "tamil", "telugu")
OVERRIDES = [
    {},
    {
        "nli.data": "a folder/über: #1.csv",
        "sts.data": "'quoted'",
        "sts.score_range": "-1-1",
        "split": "0.7,0.2,0.1",
        "keep_leaks": "true",
    },
    {
        "schedule": "12,9,6",
        "sts.matryoshka_dims": "64,32",
        "phases": "distil,sts",
        "nli.learning_rate": "1e-5",
        "vocabulary": "0.999",
    },
    {
        "base_model": "null",
        "registered_model": "on",
        "device": "cuda:1",
        "checkpoint_minutes": "0",
        "sts.max_rows": "010",
    },
]


def test_the_presets_are_the_promised_ones_each_with_the_papers_settings_as_well():
    assert set(presets()) == {*NAMES, *(f"{name}-paper" for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_name_is_answered_with_todays(name):
    with pytest.raises(RecipeError, match=f"recipe={name}-modern: this recipe is called {name} now: .*Use {name}[.]"):
        load_recipe(f"{name}-modern")


@pytest.mark.parametrize("name", presets())
def test_a_preset_says_all_that_it_must_under_its_own_name(name):
    recipe = load_recipe(name)

    assert (recipe.name, recipe.registered_model) == (name, f"sbert-{name}")
    assert read_yaml(PRESETS / f"{name}.yaml")["name"] == name
    assert recipe.about
    assert "\n" not in recipe.about
    assert len(recipe.about) < 100


@pytest.mark.parametrize("name", presets())
def test_what_a_preset_leaves_to_the_user_it_explains(name):
    recipe = load_recipe(name)

    for parameter, value in (("nli_data", recipe.nli.data), ("sts_data", recipe.sts.data)):
        assert (value is None) == (f"{parameter}=" in recipe.hint(parameter))


@pytest.mark.parametrize(
    "name", [name for name in presets() if not name.startswith(("english", "minilm", "quickstart"))]
)
def test_a_hint_speaks_of_the_presets_own_language(name):
    assert name.partition("-")[0].capitalize() in load_recipe(name).hint("sts_data")


@pytest.mark.parametrize("name", presets())
def test_what_a_preset_fetches_has_a_size(name):
    recipe = load_recipe(name)
    values = {"base_model": recipe.base_model, "nli_data": recipe.nli.data, "sts_data": recipe.sts.data}

    assert set(recipe.downloads) == {key for key, value in values.items() if value not in {None, "quickstart"}}
    assert min(recipe.downloads.values(), default=1) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_best_settings_differ_from_the_papers_only_in_how_is_pruned_and_trained(name):
    best, paper = load_recipe(name), load_recipe(f"{name}-paper")
    changed = {key for key, value in best.flat().items() if paper.flat()[key] != value} - {"name", "registered_model"}

    assert (best.strategy, paper.strategy) == ("drop-alternate", "drop-top")
    assert (best.phases, paper.phases) == (("nli", "distil", "sts"), ("nli", "sts"))
    assert (best.nli.directions, best.sts.distillation) == ("both", 1.0)
    assert best.nli.batch_size >= 64
    assert {"strategy", "vocabulary", "phases"} >= {key for key in changed if "." not in key}
    assert "nli.data" not in changed
    assert "sts.data" not in changed


@pytest.mark.parametrize("name", ["marathi", "marathi-muril", "hindi", "tamil", "telugu"])
def test_a_vocabulary_of_many_languages_is_trimmed_but_by_the_papers_recipe(name):
    assert not load_recipe(f"{name}-paper").vocabulary_limit.trims
    assert load_recipe(name).vocabulary_limit.trims


@pytest.mark.parametrize("name", ["marathi", "marathi-muril"])
def test_the_papers_recipes_are_the_papers(name):
    recipe = load_recipe(f"{name}-paper")

    assert (recipe.layers, recipe.strategy, recipe.phases) == ("6", "drop-top", ("nli", "sts"))
    assert (recipe.nli.loss, recipe.nli.scale, recipe.nli.batch_size, recipe.nli.epochs, recipe.nli.pooling) == (
        "mnrl",
        20,
        8,
        1,
        "cls",
    )
    assert (recipe.sts.loss, recipe.sts.batch_size, recipe.sts.epochs, recipe.sts.pooling) == ("cosine", 8, 4, "mean")


def test_only_what_lies_on_the_hub_as_a_pickle_alone_is_read_as_one():
    pickled = {name for name in presets() if load_recipe(name).convert_pickle}

    assert pickled == {name for name in presets() if load_recipe(name).base_model.startswith("google/muril")}


@pytest.mark.parametrize("overrides", OVERRIDES, ids=range(len(OVERRIDES)))
@pytest.mark.parametrize("name", presets())
def test_a_recipe_written_down_is_read_back_as_it_was(tmp_path, name, overrides):
    recipe = load_recipe(name, overrides)

    write_recipe_file(recipe, tmp_path / "again.yaml")
    again = load_recipe(str(tmp_path / "again.yaml"))

    assert again == recipe
    assert (again.digest, again.reference_digest) == (recipe.digest, recipe.reference_digest)


@example("0\x850")
@example("a\n\n b")
@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda text: text.strip()))
def test_any_text_is_written_so_that_it_is_read_back(tmp_path_factory, text):
    recipe = load_recipe("quickstart", {"base_model": text, "sts.data": text})
    path = tmp_path_factory.mktemp("written") / "again.yaml"

    path.write_text(dump_recipe(recipe), encoding="utf-8", newline="")

    assert load_recipe(str(path)) == recipe


def test_every_value_is_written_down():
    recipe = load_recipe("quickstart")

    written = dump_recipe(recipe)

    assert set(re.findall(r"(\w+):", written)) >= {key.rpartition(".")[2] for key in recipe.flat()}
    assert "layers: 6\n" in written


def test_writing_the_same_recipe_again_changes_nothing(tmp_path):
    recipe, path = load_recipe("quickstart"), tmp_path / "mine.yaml"
    write_recipe_file(recipe, path)
    before = path.read_bytes()

    write_recipe_file(recipe, path)

    assert path.read_bytes() == before


def test_a_file_that_holds_something_else_is_never_lost(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: dear\n")

    with pytest.raises(
        RecipeError, match=r"mine\.yaml exists with other content\. Give another name, or move it away first\."
    ):
        write_recipe_file(load_recipe("quickstart"), path)

    assert path.read_text() == "name: dear\n"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "nowhere/mine.yaml",
            "nowhere/mine.yaml cannot be written: No such file or directory. Give a file in a folder",
        ),
        ("folder.yaml", "folder.yaml exists with other content."),
        ("mine.txt", "mine.txt: the file name of a recipe must end in .yaml. Use write_recipe="),
        ("mine", "mine: the file name of a recipe must end in .yaml."),
    ],
)
def test_a_path_that_cannot_hold_a_recipe_is_refused(tmp_path, place, message):
    (tmp_path / "folder.yaml").mkdir()

    with pytest.raises(RecipeError) as caught:
        write_recipe_file(load_recipe("quickstart"), tmp_path / place)

    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.yaml"]


def test_a_recipe_is_described_by_what_differs_from_the_defaults():
    lines = describe_recipe(load_recipe("quickstart-paper", {"seed": "7", "sts.loss": "cosent"}))

    assert lines == [
        "recipe quickstart-paper: base_model=quickstart, layers=6, max_seq_length=64, seed=7, robustness=100",
        "  nli: data=quickstart, epochs=1.0, batch_size=64, learning_rate=0.0003",
        "  sts: data=quickstart, epochs=2.0, batch_size=32, learning_rate=0.0003, loss=cosent",
    ]


def test_a_group_that_no_phase_uses_is_described_by_its_data_alone():
    lines = describe_recipe(load_recipe("quickstart", {"phases": "distil", "distil.data": "text.txt"}))

    assert [line.partition(":")[0].strip() for line in lines] == ["recipe quickstart", "nli", "sts", "distil"]
    assert lines[1] == "  nli: data=quickstart"
    assert lines[3] == "  distil: data=text.txt, epochs=2.0, learning_rate=0.001"
