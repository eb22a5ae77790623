"""Memory and time to read NLI rows, beside the plain way: Python's csv module into a list of dicts.

    python benchmarks/reading.py --rows 10000000

Rows are generated (six for each premise, in Marathi and English letters, about 150 bytes each) into a temporary tsv
file. Each way reads it in a process of its own; memory is the peak resident size. Ours checks and stores every row,
computes its digest, removes leaks of 3,000 held-out pairs, and builds the triplets; the plain way only stores the
cells.
"""

import argparse
import csv
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

_LABELS = ("entailment", "neutral", "contradiction")


def write_rows(path: Path, num_rows: int) -> None:
    """Write the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("premise\thypothesis\tlabel\n")
        for row in range(num_rows):
            premise, label = row // 6, _LABELS[row % 3]
            file.write(
                f"the {premise}th house at the river has a blue door and {premise % 97} windows\t"
                f"घर {premise} च्या {row % 6} व्या खोलीत कोणीतरी झोपले आहे\t{label}\n"
            )


def read_plainly(path: Path) -> int:
    """Read the rows into a list of dicts."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as file:
        return len(list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)))


def read_as_we_do(path: Path) -> int:
    """Read the rows as `full` does before it trains."""
    from sbert_prune.data.leaks import remove_leaks
    from sbert_prune.data.rows import RowSet, StsRow
    from sbert_prune.data.sources import load_nli
    from sbert_prune.data.triplets import triplets

    rows = load_nli(str(path))
    held_out = tuple(StsRow(f"a sentence {number}", f"another sentence {number}", 0.5) for number in range(3_000))
    kept, _ = remove_leaks(rows, {"test": RowSet("test", held_out, "generated")})
    examples = triplets(kept.rows)
    print(f"{len(examples):,} triplets, digest {kept.digest[:12]}", file=sys.stderr)
    return len(kept)


_WAYS = {"plain": read_plainly, "ours": read_as_we_do}


def measure(way: str, path: Path) -> tuple[float, float]:
    """Run one way in a process of its own; return seconds and MB (10^6 bytes)."""
    done = subprocess.run(
        [sys.executable, __file__, "--way", way, str(path)], check=True, capture_output=True, text=True
    )
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def main() -> None:
    """Compare both ways, or run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--only-ours", action="store_true", help="leave the plain way out: ten million rows take it some 10 GB"
    )
    parser.add_argument("--way", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        started = time.perf_counter()
        _WAYS[arguments.way[0]](Path(arguments.way[1]))
        print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.tsv"
        write_rows(path, arguments.rows)
        print(f"{arguments.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        ours = measure("ours", path)
        print(f"ours   {ours[0]:8.1f} s  {ours[1]:8,.0f} MB")
        if not arguments.only_ours:
            plain = measure("plain", path)
            print(f"plain  {plain[0]:8.1f} s  {plain[1]:8,.0f} MB")
            print(f"ratio  {ours[0] / plain[0]:8.2f}    {ours[1] / plain[1]:8.2f}")


if __name__ == "__main__":
    main()
