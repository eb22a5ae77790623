"""Secrets of any shape, in any place of a URI, appear in no message."""

import os
from collections.abc import Iterator
from unittest.mock import patch
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from sbert_prune.errors import SbertPruneError
from sbert_prune.tracking.delivery import first_line
from sbert_prune.tracking.secrets import has_password, masked_uri, without_password
from sbert_prune.tracking.store_uri import check_store, reason_of
from tuning.settings import Aim, Settings
from tuning.storage import check_storage

_WORDS = ("S3cr3tAbc", "S3cr3tXyz")
_SPECIAL = st.sampled_from(" \n\r\t@:/?#%&=;'\"\\[]{}()<>|^~`+,!$*.-_")
_ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_BETWEEN = st.text(_SPECIAL | _ANY, max_size=3)


@st.composite
def secrets(draw: st.DrawFn) -> str:
    """Return a secret of two words, with any characters around them, escaped or not."""
    first, second = _WORDS
    text = draw(_BETWEEN) + first + draw(_BETWEEN) + second + draw(_BETWEEN)
    return draw(st.sampled_from([str, quote, quote_plus, lambda whole: quote(whole, safe="")]))(text)


@st.composite
def uris(draw: st.DrawFn) -> str:
    """Return a URI of a server or a database that nothing listens at, with a secret."""
    scheme = draw(st.sampled_from(["http", "https", "postgresql", "postgresql+psycopg2", "mysql", "nonsense"]))
    place = draw(st.sampled_from(["{scheme}://ann:{secret}@{rest}", "{scheme}://{rest}?{name}={secret}"]))
    name = draw(st.sampled_from(["access_token", "api_key", "password", "token", "sslpassword"]))
    suffix = draw(st.sampled_from(["", "?sslmode=off", "&sslmode=off"]))
    return place.format(
        scheme=scheme, secret=draw(secrets()), rest=f"127.0.0.1:9/db{suffix * ('?' in place)}", name=name
    )


def messages(uri: str) -> Iterator[str]:
    """Return what commands would print about a tracking store and a storage at this URI."""
    yield masked_uri(uri)
    yield masked_uri(uri, keep_options=True)
    with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": uri}):
        try:
            check_store()
        except SbertPruneError as error:
            yield str(error)
        yield first_line(MlflowException(f"API request to {uri} failed with exception {uri!r}"))
        yield without_password(f"before {uri} and {uri!r}")
        for use in (make_url, requests.get, lambda address: urlsplit(address).port):
            try:
                use(uri)
            except (SQLAlchemyError, OSError, ValueError) as error:
                yield reason_of(error)
                yield first_line(error)
    with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": "sqlite:////nowhere/mlflow.db"}):
        for check in (check_storage, lambda storage: Settings(Aim(), storage=storage)):
            try:
                check(uri)
            except SbertPruneError as error:
                yield str(error)


@settings(max_examples=60, deadline=None)
@given(uri=uris())
def test_no_part_of_a_secret_appears_in_any_message(uri):
    for message in messages(uri):
        assert not [word for word in _WORDS if word in message], message


@settings(max_examples=100, deadline=None)
@given(secret=secrets())
def test_a_storage_with_a_secret_is_recognised(secret):
    assert has_password(f"postgresql://ann:{secret}@host/db")
    assert has_password(f"postgresql://host/db?password={secret}")
    assert not has_password("postgresql://ann@host/db?sslmode=require")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ann:my sec\nret@host/db", "postgresql://***@host/db"),
        ("https://host/team?access_token=abc", "https://host/team?access_token=***"),
        ("https://host/team?x=1&api_key=a&b", "https://host/team?x=***&api_key=***"),
        ("https://host/team?abc", "https://host/team?***"),
        ("postgresql://host/db?password=a@b", "postgresql://***"),
        ("sqlite:////data/ann@work/mlflow.db", "sqlite:////data/ann@work/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("studies", "studies"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri, shown):
    assert masked_uri(uri) == shown


def test_options_that_are_no_secrets_tell_two_stores_apart():
    uri = "postgresql://ann:x@host/db?options=one&password=secret"

    assert masked_uri(uri, keep_options=True) == "postgresql://***@host/db?options=one&password=***"


def test_a_password_that_is_also_the_databases_name_leaves_messages_readable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:mlflow@host/mlflow")

    assert without_password("pip install mlflow") == "pip install mlflow"
