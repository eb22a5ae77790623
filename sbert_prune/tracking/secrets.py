"""Users, passwords and tokens of URIs, masked wherever a URI or an error that may quote one is shown."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_MASK = "***"
_SECRET_NAME = re.compile(r"pass|pwd|token|key|secret|sig|auth|cred|odbc_connect", re.IGNORECASE)
"""Names of query parameters whose values are secrets; others, such as sslmode, may appear in a driver's message."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_URI_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "HF_ENDPOINT",
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
)
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN", "PGPASSWORD")

_MIN_SECRET, _MIN_FRAGMENT = 4, 6
"""Shorter ones are masked where they stand in a URI, but not as plain text, where they may be any word."""

_COMMON_WORDS = {"mlflow", "password", "passwd", "postgres", "secret"}
"""Parts of a secret that tell nothing, and would make messages unreadable."""

_IN_TEXT = (
    # Up to the last @ before the path; with a colon, up to the last @ of the word, as a password may hold slashes.
    (re.compile(r"://(?:[^/@:\s]*:\S*|[^/]*)@"), f"://{_MASK}@"),
    (re.compile(r"([?&;][\w.\-]+=)[^&;\s'\")]+"), rf"\1{_MASK}"),
)

_given: set[str] = set()


def remember(uri: str) -> None:
    """Mask the secrets of this URI, a parameter of the command, in all messages of this process."""
    _given.add(uri)


def masked_uri(uri: str, *, keep_options: bool = False) -> str:
    """Return a URI without user, password and query values, whatever characters these contain unescaped.

    Args:
        uri: The URI, and nothing else; for a text that contains URIs, see `without_password`.
        keep_options: Leave the values of query parameters that are no secrets.
    """
    head, user, rest = _split(uri)
    if user is not None and re.search(r"[?&;#][^=/]*=", user):  # the last @ may be inside of a query value
        return f"{head}{_MASK}"
    shown = rest if user is None else f"{_MASK}@{rest}"
    place, mark, query = shown.partition("?")
    return f"{head}{place}{mark}{_masked_query(query, keep_options=keep_options)}"


def _split(uri: str) -> tuple[str, str | None, str]:
    """Return the scheme with its slashes, what stands before the last @ if anything does, and the rest."""
    scheme, slashes, rest = uri.partition("://")
    head, rest = (f"{scheme}{slashes}", rest) if slashes else ("", uri)
    if slashes and rest.startswith("/"):
        return head, None, rest  # a file, in a folder that may have an @ in its name
    user, at, place = rest.rpartition("@")
    return (head, user, place) if at else (head, None, rest)


def _masked_query(query: str, *, keep_options: bool) -> str:
    shown: list[str] = []
    for part in re.split("([&;?])", query):
        name, equals, _ = part.partition("=")
        if part in {"&", ";", "?", ""}:
            shown.append(part)
        elif equals and _SECRET_NAME.search(name):
            return "".join([*shown, f"{name}={_MASK}"])  # what follows may belong to the secret, after an unescaped &
        elif equals:
            shown.append(part if keep_options else f"{name}={_MASK}")
        else:
            shown.append(_MASK)
    return "".join(shown)


def has_password(uri: str) -> bool:
    """Return whether a database's URI contains a password or another secret."""
    _, user, _ = _split(uri)
    return ":" in (user or "") or bool(_secrets_in_query(uri))


def _secrets_in_query(uri: str) -> list[str]:
    return [
        uri[match.end() :]
        for match in re.finditer(r"[?&;]([^=?&;]*)=", uri)
        if _SECRET_NAME.search(match[1]) and match.end() < len(uri)
    ]


def _secrets_of(uri: str) -> set[str]:
    """Return a URI's secrets, whole and in parts."""
    head, user, rest = _split(uri)
    name, colon, password = (user or "").partition(":")
    token = "" if colon or not head.startswith(("http", "databricks")) else name
    secrets = {password, token, *_secrets_in_query(uri)}
    secrets |= {value.partition(mark)[0] for value in list(secrets) for mark in "&;#"}
    public = set(re.findall(r"\w+", f"{head} {rest.partition('?')[0]}")) | ({name} - {token})
    return secrets - public


def _spellings(secret: str) -> set[str]:
    """Return the forms that a library may print a secret in, and the words that it may print alone."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    plain |= {" ".join(text.split()) for text in plain} | {re.sub(r"[\t\r\n]", "", text) for text in plain}
    forms = plain | {form(text) for text in plain for form in (quote, quote_plus, _quote_all, _escaped, _as_json)}
    words = {word for text in plain for word in re.split(r"[\W_]+", text) if len(word) >= _MIN_FRAGMENT}
    return {form for form in forms if len(form) >= _MIN_SECRET} | (words - _COMMON_WORDS)


def _quote_all(text: str) -> str:
    return quote(text, safe="")


def _escaped(text: str) -> str:
    return repr(text)[1:-1]


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def without_password(text: str) -> str:
    """Return a text that may quote URIs, such as a library's error, without users, passwords and query values.

    The secrets that this process was given are masked wherever they stand. Cut a text afterwards, not before: half a
    secret is not recognised.
    """
    uris = _given | {uri for name in _URI_VARIABLES if (uri := os.environ.get(name))}
    for uri in sorted(uris, key=len, reverse=True):
        if (masked := masked_uri(uri)) != uri:
            text = text.replace(uri, masked)
    secrets = {os.environ[name] for name in _SECRET_VARIABLES if os.environ.get(name)}
    secrets = secrets.union(*map(_secrets_of, uris))
    for spelling in sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True):
        text = text.replace(spelling, _MASK)
    for pattern, mask in _IN_TEXT:
        text = pattern.sub(mask, text)
    return text
