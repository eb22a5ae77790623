"""The sizes of a MuRIL-shaped encoder at each depth and vocabulary. No weights are created.

python benchmarks/sizes.py
"""

from __future__ import annotations

import click


@click.command()
@click.option("--layers", default="12,6,4,2,1", show_default=True)
@click.option("--pieces", default="197285,52000,32000,16000,8000", show_default=True)
def main(layers: str, pieces: str) -> None:
    """Print a table: parameters, and megabytes in float32."""
    sizes = [int(number) for number in pieces.split(",")]
    print("| layers | " + " | ".join(f"{size:,} pieces" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for depth in map(int, layers.split(",")):
        counts = [num_parameters(depth, size) for size in sizes]
        print(
            f"| {depth} | " + " | ".join(f"{count / 1e6:.1f} M, {4 * count / 1e6:,.0f} MB" for count in counts) + " |"
        )


def num_parameters(depth: int, pieces: int) -> int:
    """Return the number of parameters of a BERT as wide as MuRIL, with its pooler."""
    import torch
    from transformers import AutoModel, BertConfig

    config = BertConfig(
        vocab_size=pieces, hidden_size=768, num_hidden_layers=depth, num_attention_heads=12, intermediate_size=3072
    )
    with torch.device("meta"):
        return int(AutoModel.from_config(config).num_parameters())


if __name__ == "__main__":
    main()
