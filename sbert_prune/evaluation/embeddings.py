"""Embeddings of sentences, computed once per model and text and cached on disk."""

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
"""Library versions, which can change embeddings at least in the last digits."""


class Embedded:
    """Embeddings of sentences, accessed by text."""

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Index the vectors by text. texts: distinct.  vectors: *Shape:* (texts, dim)"""
        self.vectors = vectors
        self._index = {text: index for index, text in enumerate(texts)}

    def __len__(self) -> int:
        return len(self._index)

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings in the order of the texts. *Shape:* (texts, dim)"""
        vectors: NDArray[np.float32] = self.vectors[[self._index[text] for text in texts]]
        return vectors

    def unit(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the embeddings scaled to length 1, so that dot products are cosines. *Shape:* (texts, dim)"""
        vectors = self.of(texts).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return vectors


def embed_once(
    model: SentenceTransformer, texts: Iterable[str], what: str, *, fingerprint: str | None = None
) -> Embedded:
    """Embed each distinct sentence that is not in the cache yet, longest first.

    Args:
        model: The sentence model.
        texts: The sentences.
        what: Name of the sentences in error messages.
        fingerprint: Fingerprint of everything that determines the model's embeddings, the key of the user's cache. None
            disables the cache.

    Raises:
        RoundTripError: The embeddings are not finite or collapsed; such embeddings are never cached.
    """
    distinct = list(dict.fromkeys(texts))
    prefix = None if fingerprint is None else _prefix(model, fingerprint)
    digests = [_digest(text) for text in distinct]
    vector_by_digest = {} if prefix is None else _read_cache(prefix, set(digests))
    missing = [index for index, digest in enumerate(digests) if digest not in vector_by_digest]
    # encode() starts with the longest sentences
    computed = embed(model, [distinct[index] for index in missing]) if missing else None
    if computed is not None:
        vector_by_digest |= dict(zip((digests[index] for index in missing), computed, strict=True))
    vectors = (
        np.stack([vector_by_digest[digest] for digest in digests]) if distinct else np.empty((0, 0), dtype=np.float32)
    )
    check_embeddings(vectors, f"The model, on {what},")
    if prefix is not None and computed is not None:
        _write_cache(prefix, [digests[index] for index in missing], computed)
    return Embedded(distinct, vectors)


def _prefix(model: SentenceTransformer, fingerprint: str) -> str:
    return hashlib.sha256(f"{fingerprint} {model.max_seq_length} {model.device.type} {_VERSIONS}".encode()).hexdigest()[
        :32
    ]


def _read_cache(prefix: str, wanted_digests: set[bytes]) -> dict[bytes, NDArray[np.float32]]:
    vector_by_digest: dict[bytes, NDArray[np.float32]] = {}
    for arrays in cached_like(_KIND, prefix):
        digests, vectors = np.asarray(arrays["digests"]), arrays["vectors"]
        rows = [(row, digest) for row, digest in enumerate(map(bytes, digests)) if digest in wanted_digests]
        vectors_read = np.asarray(vectors[[row for row, _ in rows]], dtype=np.float32)
        vector_by_digest |= {digest: vector for (_, digest), vector in zip(rows, vectors_read, strict=True)}
    return vector_by_digest


def _write_cache(prefix: str, digests: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
    name = hashlib.sha256(b"".join(digests)).hexdigest()[:32]
    table = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), _DIGEST_BYTES)
    keep(_KIND, f"{prefix}-{name}", {"digests": table, "vectors": vectors})


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
