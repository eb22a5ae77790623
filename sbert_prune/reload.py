"""Load a saved model as a stranger would and write its embeddings of PROBES: `python -m sbert_prune.reload FOLDER OUT.npy`."""

import sys

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_prune.sentence import PROBES, embed


def main(folder: str, out: str) -> None:
    """Nothing but the folder's own files is used: no option of ours can hide what a user would see."""
    np.save(out, embed(SentenceTransformer(folder, device="cpu"), PROBES))


if __name__ == "__main__":
    main(*sys.argv[1:])
