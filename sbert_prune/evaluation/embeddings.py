"""Sentences that are embedded once, whoever asks for them, and kept by the model and the text that they come from."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from sbert_prune.models.sentence import check_embeddings, embed
from sbert_prune.system.cache import cached_like, keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

_KIND = "embeddings"
_DIGEST_BYTES = 16
_VERSIONS = " ".join(version(name) for name in ("torch", "transformers", "sentence-transformers", "tokenizers"))
"""What else decides an embedding, in its last digits or more."""


class Embedded:
    """The embeddings of some sentences, by their text."""

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """texts: each once.  vectors: *shape* (texts, dim)"""
        self.vectors = vectors
        self._place = {text: place for place, text in enumerate(texts)}

    def __len__(self) -> int:
        return len(self._place)

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings in the order asked for. *Shape:* (texts, dim)"""
        found: NDArray[np.float32] = self.vectors[[self._place[text] for text in texts]]
        return found

    def unit(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The same with length 1, so that their products are cosines. *Shape:* (texts, dim)"""
        vectors = self.of(texts).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return vectors


def embed_once(
    model: SentenceTransformer, texts: Iterable[str], what: str, *, fingerprint: str | None = None
) -> Embedded:
    """Embed each distinct sentence that is not kept yet, longest first.

    fingerprint: of all that decides the model's embeddings; what was embedded under it before is taken from the user's cache. None keeps
    nothing.

    Raises RoundTripError for non-finite or collapsed embeddings; those are never kept.
    """
    distinct = list(dict.fromkeys(texts))
    prefix = None if fingerprint is None else _prefix(model, fingerprint)
    digests = [_digest(text) for text in distinct]
    found = {} if prefix is None else _kept(prefix, set(digests))
    missing = [place for place, digest in enumerate(digests) if digest not in found]
    fresh = (
        embed(model, [distinct[place] for place in missing]) if missing else None
    )  # encode() begins with the longest
    if fresh is not None:
        found |= dict(zip((digests[place] for place in missing), fresh, strict=True))
    vectors = np.stack([found[digest] for digest in digests]) if distinct else np.empty((0, 0), dtype=np.float32)
    check_embeddings(vectors, f"The model, on {what},")
    if prefix is not None and fresh is not None:
        _keep(prefix, [digests[place] for place in missing], fresh)
    return Embedded(distinct, vectors)


def _prefix(model: SentenceTransformer, fingerprint: str) -> str:
    return hashlib.sha256(f"{fingerprint} {model.max_seq_length} {model.device.type} {_VERSIONS}".encode()).hexdigest()[
        :32
    ]


def _kept(prefix: str, wanted: set[bytes]) -> dict[bytes, NDArray[np.float32]]:
    found: dict[bytes, NDArray[np.float32]] = {}
    for arrays in cached_like(_KIND, prefix):
        digests, vectors = np.asarray(arrays["digests"]), arrays["vectors"]
        rows = [(row, digest) for row, digest in enumerate(map(bytes, digests)) if digest in wanted]
        read = np.asarray(vectors[[row for row, _ in rows]], dtype=np.float32)
        found |= {digest: vector for (_, digest), vector in zip(rows, read, strict=True)}
    return found


def _keep(prefix: str, digests: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
    name = hashlib.sha256(b"".join(digests)).hexdigest()[:32]
    table = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), _DIGEST_BYTES)
    keep(_KIND, f"{prefix}-{name}", {"digests": table, "vectors": vectors})


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
