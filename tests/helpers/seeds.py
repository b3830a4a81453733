"""The table of docs/mechanisms.md over seeds.

`python tests/helpers/seeds.py RUNS ...` writes it from runs of every mechanism.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

from attnlab.comparison import load_runs

PAGE = Path(__file__).parents[2] / "docs" / "mechanisms.md"
TABLE = re.compile(r"(<!-- seeds -->\n).*?(<!-- end of seeds -->)", re.DOTALL)


def table(*places: str) -> str:
    """One line a mechanism: seeds, and the least, the mean and the largest accuracy on test."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for run in load_runs(*places):
        if run.state == "done" and run.seed is not None:
            found[run.folder.parent.name][run.seed] = run.results["test/sequence_accuracy"]
    lines = ["| `attention=` | seeds | least | mean | largest |", "|---|---|---|---|---|"]
    for name, values in sorted(found.items()):
        least, mean, largest = min(values.values()), sum(values.values()) / len(values), max(values.values())
        lines.append(f"| `{name}` | {len(values)} | {least:.3f} | {mean:.4f} | {largest:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table anew."""
    made = table(*sys.argv[1:])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: f"{found[1]}{made}\n{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
