"""How fast this is, as ratios against plain PyTorch, side by side in one run.

  python scripts/benchmark.py
  python scripts/benchmark.py --only trainer,plain --quick
  python scripts/benchmark.py --only compare --json

trainer      a training step against a plain loop over the same module
plain        the same against a plain PyTorch program on the same batches
arithmetic   operations a second against those of a matrix product
start        a command to its first step against the bare imports
mechanisms   a training step of every mechanism against soft attention
scaling      longer sources, larger batches, more samples
memory       the same, in memory
sweep        one process against several commands, and joblib
compare      a comparison of 100 and 1,000 runs against the bare imports

Both sides take turns, so that a busy machine slows both; shown are the median
over rounds and the quartiles. All of it takes a quarter of an hour, --quick
with few rounds and sizes a quarter of that. Written are speed.csv, with every
digit, and speed.png.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attnlab import files
from attnlab.benchmarking import SECTIONS
from attnlab.benchmarking.machine import machine
from attnlab.cli.answers import FAILED, SUCCESS, answered, parser, said
from attnlab.progress import tell

_ROUNDS, _QUICK = 20, 2


def benchmark(arguments: Sequence[str], doc: str | None) -> int:
    """`scripts/benchmark.py`: ratios, line by line as they are measured."""
    options = parser("benchmark", "[--only SECTION,...] [--quick] [options]", doc)
    told = "sections to measure, with commas; all unless given"
    options.add_argument("--only", default=",".join(SECTIONS), metavar="A,B", help=told)
    options.add_argument("--quick", action="store_true", help="few rounds, and only the smaller sizes")
    options.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of the processor; %(default)s unless given"
    )
    options.add_argument("--json", dest="as_json", action="store_true", help="one object, and no table")
    options.add_argument("--markdown", action="store_true", help="the page docs/speed.md")
    told = "the folder where both files are written; default: %(default)s"
    options.add_argument("--out", type=Path, default=Path("benchmark"), metavar="DIR", help=told)
    given = options.parse_args(arguments)
    return answered(lambda: _benchmark(**vars(given)))


def _benchmark(only: str, quick: bool, threads: int, as_json: bool, markdown: bool, out: Path) -> int:
    sections = [name for name in SECTIONS if name in only.split(",")]
    if unknown := [name for name in only.split(",") if name not in SECTIONS]:
        raise ValueError(f"--only takes {', '.join(SECTIONS)}, with commas between, got {unknown[0]!r}")
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    if as_json and markdown:
        raise ValueError("--json and --markdown are two forms of the same figures: one of them is printed")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out names a folder to write to, and {out} is a file")
    on = machine(threads)
    tell("; ".join(f"{name}: {value}" for name, value in on.items()))
    try:
        return _measure(sections, _QUICK if quick else _ROUNDS, on, as_json, markdown, out)
    except RuntimeError as error:
        return said(FAILED, str(error))


def _measure(
    sections: Sequence[str], rounds: int, on: Mapping[str, str], as_json: bool, markdown: bool, out: Path
) -> int:
    import torch

    from attnlab.benchmarking import chart, page

    torch.set_num_threads(int(on["threads"]))
    torch.manual_seed(0)
    found: page.Found = {}
    measured = page.kept(page.measured(sections, rounds), found)
    for line in page.markdown(on, measured) if markdown else page.lines(measured):
        if as_json:
            tell(line)
        else:
            print(line, flush=True)
    if as_json:
        gauges = {name: [one._asdict() for one in of] for name, of in found.items()}
        print(json.dumps({"machine": on, "sections": gauges}, indent=2))
    out.mkdir(parents=True, exist_ok=True)
    files.write_rows(out / "speed.csv", page.rows(found))
    (out / "speed.png").write_bytes(chart.chart(found))
    tell(f"\nwritten to {out}: speed.csv, speed.png")
    return SUCCESS
