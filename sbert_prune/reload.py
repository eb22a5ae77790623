"""Load a saved model as a stranger would, to see what comes back: `python -m sbert_prune.reload FOLDER OUT.npz`."""

import sys
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_prune.models.sentence import PROBES, embed
from sbert_prune.system.memory import peak_resident_mb

_BATCH = 32


def main(folder: str | Path, out: str | Path) -> None:
    """Write the embeddings of PROBES, and the process's peak memory before the model came and after a batch of 32 sentences.

    Nothing but the folder's own files is used: no option of ours can hide what a user would see.
    """
    libraries_mb = peak_resident_mb()
    model = SentenceTransformer(str(folder), device="cpu")
    embeddings = embed(model, PROBES)
    embed(model, list(islice(cycle(PROBES), _BATCH)))
    np.savez(out, embeddings=embeddings, libraries_mb=libraries_mb, peak_mb=peak_resident_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
