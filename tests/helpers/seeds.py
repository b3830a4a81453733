"""The table of docs/mechanisms.md over seeds.

`python tests/helpers/seeds.py RUNS ...` writes the rows of the mechanisms that have runs there anew.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

from attnlab.comparison import load_runs

PAGE = Path(__file__).parents[2] / "docs" / "mechanisms.md"
TABLE = re.compile(r"(<!-- seeds -->\n).*?(<!-- end of seeds -->)", re.DOTALL)


ROW = re.compile(r"^\| `(\w+)` \|.*$", re.MULTILINE)


def table(before: str, *places: str) -> str:
    """One line a mechanism: seeds, and the least, the mean and the largest accuracy on test. Lines of those
    without runs stay as they were."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for run in load_runs(*places):
        if run.state == "done" and run.seed is not None:
            found[run.folder.parent.name][run.seed] = run.results["test/sequence_accuracy"]
    lines = {row[1]: row[0] for row in ROW.finditer(before)}
    for name, values in found.items():
        least, mean, largest = min(values.values()), sum(values.values()) / len(values), max(values.values())
        lines[name] = f"| `{name}` | {len(values)} | {least:.3f} | {mean:.4f} | {largest:.3f} |"
    head = ["| `attention=` | seeds | least | mean | largest |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(lines[name] for name in sorted(lines))])


def main() -> None:
    """Write the table anew."""
    text = PAGE.read_text(encoding="utf-8")
    (before,) = (found[0] for found in TABLE.finditer(text))
    made = table(before, *sys.argv[1:])
    PAGE.write_text(TABLE.sub(lambda found: f"{found[1]}{made}\n{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
