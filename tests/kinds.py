"""One architecture of each kind: what is particular about a row of ARCHITECTURES is in one of them.

The laws of pruning and of encoders are held for every architecture; what stands on them, for these.
"""

from dataclasses import replace

from sbert_prune.models.architectures import ARCHITECTURES

_FIRST_OF_ITS_KIND = {
    replace(row, prefix="", not_encoder=(), parts="", others="", switched=()): name
    for name, row in reversed(ARCHITECTURES.items())
}

KINDS = (*reversed(_FIRST_OF_ITS_KIND.values()), "deberta-v2")
"""DeBERTa's particulars, relative positions and a convolution behind the first layer, are in no row."""
