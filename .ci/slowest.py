"""Print the slowest tests of several runs of pytest: `python slowest.py NUMBER JUNIT_XML...`. Uses no other package."""

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree


def main(number: int, reports: list[Path]) -> None:
    """Print seconds and names. A test includes its set-up, so a file's first test includes what the file shares."""
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            seconds[f"{case.get('classname')}::{case.get('name')}"] += float(case.get("time", 0))
    print(f"\nthe {number} slowest of {len(seconds):,} tests, in seconds:")
    for name, took in sorted(seconds.items(), key=lambda entry: -entry[1])[:number]:
        print(f"{took:6.1f}  {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
