"""The examples of docs/library.md, in the order of the page, and the docstrings that it leads to."""

import inspect
import re
from pathlib import Path

from mlflow import MlflowClient

import sbert_prune

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_examples_of_the_page_run_one_after_the_other(make_variant, tmp_path, monkeypatch, capsys):
    project = make_variant(tmp_path)
    project.use(monkeypatch)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)  # an example sets it
    MlflowClient(project.uri).set_registered_model_alias("sbert-small", "champion", "2")
    printed = []

    for example in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(example.replace("sbert-quickstart", "sbert-small"), {})
        printed.append(capsys.readouterr().out.split("\n")[-2])

    pruned, trained, embedded = printed
    assert re.fullmatch(r"\(\d, \d\)", pruned)
    assert -1 <= float(trained) <= 1
    assert embedded == "(2, 32)"


def test_the_docstrings_name_every_parameter_and_what_is_returned():
    for name in set(sbert_prune.__all__) - {"Variant", "__version__"}:
        function = getattr(sbert_prune, name)
        text = inspect.getdoc(function)
        assert {"Args:", "Returns:", "Raises:"} <= set(text.split()), name
        for parameter in inspect.signature(function).parameters:
            assert re.search(rf"^ +\**{parameter}: ", text, re.MULTILINE), f"{name}: {parameter}"
    assert all(f"{field}: " in sbert_prune.Variant.__doc__ for field in sbert_prune.Variant.__dataclass_fields__)
