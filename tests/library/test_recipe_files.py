"""Recipe files: values are read as text, recipes inherit from others, and errors name file and line."""

import pytest

from sbert_prune.errors import RecipeError
from sbert_prune.recipe.files import load_recipe

WHOLE = """
base_model: quickstart
layers: 6
nli: {data: quickstart, epochs: 1, batch_size: 8, learning_rate: 1e-4}
sts: {data: quickstart, epochs: 1, batch_size: 8, learning_rate: 1e-4}
"""


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def load(folder, name, overrides=None):
    return load_recipe(str(folder / f"{name}.yaml"), overrides)


def message_of(folder, name="mine"):
    with pytest.raises(RecipeError) as caught:
        load(folder, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        ("nli: {learning_rate: 1e-4}", "nli.learning_rate", "1e-4"),
        ("nli: {learning_rate: .5}", "nli.learning_rate", ".5"),
        ("seed: 012", "seed", "012"),
        ("layers: 0,2,4", "layers", "0,2,4"),
        ("layers: 01", "layers", "01"),
        ("layers: 2026-01-01", "layers", "2026-01-01"),
        ("base_model: no", "base_model", "no"),
        ("base_model: on", "base_model", "on"),
        ("base_model: 1e3", "base_model", "1e3"),
        ("base_model: 'null'", "base_model", "null"),
        ("keep_leaks: on", "keep_leaks", "on"),
        ("keep_leaks: 'true'", "keep_leaks", "true"),
        ("schedule: [12, 6]", "schedule", "12,6"),
        ("phases: [sts]", "phases", "sts"),
        ("split: [0.5, 0.25, 0.25]", "split", "0.5,0.25,0.25"),
        ("sts: {matryoshka_dims: [64, 32]}", "sts.matryoshka_dims", "64,32"),
    ],
)
def test_a_value_in_a_file_means_what_the_same_text_means_as_a_parameter(folder, line, setting, value):
    files = folder(mine=f"extends: quickstart\nname: quickstart\n{line}\n")

    recipe = load(files, "mine")

    assert recipe.digest == load_recipe("quickstart", {setting: value}).digest
    assert recipe.digest != load_recipe("quickstart").digest


@pytest.mark.parametrize("null", ["", "~", "null", "Null"])
def test_null_is_nothing(folder, null):
    files = folder(mine=f"extends: quickstart\nsts:\n  data: {null}\n")

    assert load(files, "mine").sts.data is None


@pytest.mark.parametrize(
    "text", [f"\ufeff{WHOLE}", WHOLE.replace("\n", "\r\n"), f"---\n{WHOLE}...\n"], ids=["mark", "windows", "document"]
)
def test_a_file_is_read_whatever_editor_it_comes_from(folder, text):
    assert load(folder(mine=text), "mine") == load(folder(mine=WHOLE), "mine")


def test_a_file_without_a_name_has_its_files(folder):
    recipe = load(folder(**{"my-own": WHOLE}), "my-own")

    assert (recipe.name, recipe.registered_model) == ("my-own", "sbert-my-own")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nli: [1, 2",
            "mine.yaml is not readable YAML, line 1: expected ',' or ']', but got '<stream end>'. That line is: nli: "
            "[1, 2",
        ),
        (
            "seed: 1\na: b: c",
            "mine.yaml is not readable YAML, line 2: mapping values are not allowed here. That line is: a: b: c",
        ),
        (
            "nli:\n\tepochs: 1\n",
            "line 2: found character '\\t' that cannot start any token. Indent with spaces: YAML takes no tabs.",
        ),
        ("seed: 1\n---\nseed: 2\n", "mine.yaml is not readable YAML, line 2: but found another document."),
        ("seed: *other\n", "mine.yaml is not readable YAML, line 1: found undefined alias 'other'."),
        (
            "seed: 1\x07\n",
            "mine.yaml is not readable YAML: unacceptable character #x0007: special characters are not allowed.",
        ),
        (b"name: \xff\xfe", "mine.yaml is not readable YAML: byte 6 is not UTF-8. Save it as UTF-8 text."),
        (
            "!!python/object:os.system {}",
            "mine.yaml is not readable YAML, line 1: a recipe has no tags such as tag:yaml.org,2002:python/object:os",
        ),
        (
            "seed: !!int 5",
            "mine.yaml is not readable YAML, line 1: a recipe has no tags such as tag:yaml.org,2002:int.",
        ),
        ("seed: 1\nlayers: 3\nseed: 2\n", "mine.yaml gives 'seed' twice, in lines 1 and 3. Keep one of them."),
        ("nli:\n  epochs: 1\n  epochs: 1\n", "mine.yaml gives 'epochs' twice, in lines 2 and 3."),
        ("- a\n- b\n", "mine.yaml contains a list, not settings. Write them as `name: value`, one per line."),
        ("marathi\n", "mine.yaml contains a single text, not settings."),
        ("", "mine.yaml is empty. Write settings, one per line, such as `extends: quickstart` and `layers: 3`."),
        ("# only a comment\n", "mine.yaml is empty."),
        ("null\n", "mine.yaml is empty."),
        ("? [a, b]\n: 1\n", "mine.yaml, line 1: a setting's name is a word, not a list or a group."),
        ("nli: &nli\n  data: *nli\n", "mine.yaml, line 1: no setting is nested that deeply."),
        (
            "name: mine\n",
            "The recipe mine.yaml lacks 'base_model'. Give it there or as the parameter base_model.\n",
        ),
        ("1: 2\n", "The recipe mine.yaml has an unknown setting '1'."),
        ("extend: quickstart\n", "The recipe mine.yaml has an unknown setting 'extend'. Did you mean 'extends'?"),
        ("<<: {seed: 1}\n", "The recipe mine.yaml has an unknown setting '<<'."),
        (
            "extends: quickstart\nnli:\n",
            "nli=None: this is a group. Write its settings below it, indented, such as epochs: 1, or leave it out.",
        ),
        ("extends: quickstart\nhints: 5\n", "hints=5: input should be a valid dictionary"),
        ("extends: quickstart\ndownloads: [5]\n", "downloads=['5']: input should be a valid dictionary"),
        ("extends: quickstart\nname:\n", "name=None: input should be a valid string."),
        (
            "hints: {base_model: Ask Ann.}\n",
            "lacks 'base_model'. Give it there or as the parameter base_model. Ask Ann.",
        ),
    ],
)
def test_a_file_that_is_no_recipe_says_why(folder, text, message):
    answer = message_of(folder(mine=text))

    assert message in answer
    assert "mine.yaml" in answer or "=" in answer


def test_an_extending_recipe_has_the_others_values_under_its_own(folder):
    files = folder(mine="extends: quickstart\nlayers: 3\nsts:\n  epochs: 9\n")

    recipe, other = load(files, "mine"), load_recipe("quickstart")

    assert recipe.digest == load_recipe("quickstart", {"layers": "3", "sts.epochs": "9"}).digest
    assert (recipe.nli, recipe.sts.learning_rate) == (other.nli, other.sts.learning_rate)


def test_a_name_and_what_follows_from_it_are_ones_own(folder):
    files = folder(
        first=f"name: first\nregistered_model: the-first\nabout: The first.\n{WHOLE}", second="extends: first.yaml\n"
    )

    recipe = load(files, "second")

    assert (recipe.name, recipe.registered_model, recipe.about) == ("second", "sbert-second", None)


def test_extending_continues_over_files_relative_to_each_other(folder):
    files = folder(
        base=f"{WHOLE}seed: 1\nmax_seq_length: 11\n",
        inner__middle="extends: ../base.yaml\nseed: 2\nlayers: 2\n",
        top="extends: inner/middle.yaml\nseed: 3\n",
    )

    recipe = load(files, "top", {"sts.epochs": "7"})

    assert (recipe.seed, recipe.layers, recipe.max_seq_length, recipe.sts.epochs) == (3, "2", 11, 7)


def test_extending_nothing_new_changes_nothing(folder):
    assert load(folder(mine="extends: quickstart\n"), "mine").digest == load_recipe("quickstart").digest


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"mine": "extends: mine.yaml\n"},
            "extends itself: mine.yaml -> mine.yaml. Remove `extends` from one of them.",
        ),
        (
            {"mine": "extends: b.yaml\n", "b": "extends: mine.yaml\n"},
            "extends itself: mine.yaml -> b.yaml -> mine.yaml.",
        ),
        (
            {"mine": "extends: marati\n"},
            "mine.yaml has extends: marati: no such recipe. Did you mean 'marathi'? Use one of english, ",
        ),
        ({"mine": "extends: b.yaml\n"}, "mine.yaml has extends: b.yaml: no such recipe. Use one of english, "),
        ({"mine": "extends: b.yaml\n", "b": "extends: c.yaml\n"}, "b.yaml has extends: c.yaml: no such recipe."),
        (
            {"mine": "extends: [a, b]\n"},
            "mine.yaml: extends names one recipe, such as quickstart or other.yaml, not ['a', 'b'].",
        ),
        ({"mine": "extends: b.yaml\n", "b": "seed: 1\nseed: 2\n"}, "b.yaml gives 'seed' twice, in lines 1 and 2."),
    ],
)
def test_a_wrong_extends_is_refused(folder, files, message):
    assert message in message_of(folder(**files))


def test_a_schedule_of_the_extending_recipe_says_how_many_layers_are_left(folder):
    recipe = load(folder(mine="extends: quickstart\nschedule: 12,9,3\n"), "mine")

    assert (recipe.schedule, recipe.layers) == ((12, 9, 3), "3")


@pytest.mark.parametrize(
    ("mine", "overrides", "expected"),
    [
        ("", {}, {"base_model": 5, "nli_data": 7}),
        ("nli: {data: quickstart}\n", {}, {"base_model": 5}),
        ("nli: {data: other}\ndownloads: {nli_data: 9}\n", {}, {"base_model": 5, "nli_data": 9}),
        ("", {"base_model": "folder", "seed": "3"}, {"nli_data": 7}),
    ],
)
def test_a_download_is_forgotten_with_the_value_that_it_is_of(folder, mine, overrides, expected):
    files = folder(first=f"{WHOLE}downloads: {{base_model: 5, nli_data: 7}}\n", mine=f"extends: first.yaml\n{mine}")

    assert load(files, "mine", overrides).downloads == expected


def test_a_hint_is_inherited_until_its_value_is_given(folder):
    hints = "hints: {sts_data: Ask Ann., nli_data: Ask Bob.}\n"
    files = folder(first=f"{WHOLE}{hints}", mine="extends: first.yaml\nsts: {data: quickstart}\n")

    assert load(files, "mine").hints == {"nli_data": "Ask Bob."}
