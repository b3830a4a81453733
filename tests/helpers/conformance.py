"""What the functions of this and of other libraries make of inputs on which they differ.

`python tests/helpers/conformance.py > docs/functional.md` writes the page anew, with the libraries that are
installed.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import judges
import torch
from peers import Function, libraries
from torch import Tensor

from attnlab import functional

NAN, INF = math.nan, math.inf
FIVE = [0.1, 0.3, 0.6, 2.1, 0.55]


class Check(NamedTuple):
    """A question to every function: what it makes of each of the inputs, the smallest first."""

    name: str
    told: str
    """What is right."""
    inputs: Sequence[Any]
    judge: Callable[[Function, Tensor], str]
    dtype: torch.dtype = torch.float32
    asked: Callable[[Function], object] = lambda function: True


_SMALL = ([0, 1], [0, -INF], FIVE, [6e4, 5e4], [0] * 257 + [20])
_PAIRS = ([[0, 1], [2, -1]],)
CHECKS = (
    Check(
        "numbers of any size",
        "the definition; a finite gradient",
        ([0, 1], FIVE, [300, 0], [3e38, -3e38]),
        judges.value,
    ),
    Check(
        "-inf beside numbers",
        "as if the position were not there; its gradient is 0",
        ([0, -INF], [-INF, 1, 0, -INF]),
        judges.value,
    ),
    Check("-inf alone", "no NaN, nor in the gradient", ([-INF], [-INF, -INF]), judges.nothing),
    Check(
        "+inf",
        "the limit of a score that grows; a finite gradient",
        ([0, INF], [INF, 1, INF, -INF]),
        judges.value,
    ),
    Check(
        "NaN",
        "neither numbers nor a position; the next row as ever",
        ([NAN, 0], [0, NAN], [NAN, -INF]),
        judges.no_number,
    ),
    Check("all equal", "equal shares; hard, the first", ([0, 0], [1e4] * 7, [0.1] * 300), judges.value),
    Check("ties of the maximum", "equal shares; hard, the first", ([1, 1, 0], [0, 2, 1, 2]), judges.value),
    Check("float16", "the definition, in this dtype", _SMALL, judges.value, torch.float16),
    Check("bfloat16", "the definition, in this dtype", _SMALL, judges.value, torch.bfloat16),
    Check("`torch.func.vmap`", "of function and gradient: a loop over rows", _PAIRS, judges.mapped),
    Check(
        "forward-mode derivatives",
        "finite differences, of the gradient too",
        ([0, 0.5], FIVE),
        judges.forward_mode,
        torch.float64,
        judges.is_smooth,
    ),
    Check(
        "second derivatives",
        "finite differences of the gradient",
        ([0, 0.5], FIVE),
        judges.second_order,
        torch.float64,
        judges.is_smooth,
    ),
    Check(
        "`torch.compile(fullgraph=True)`",
        "one graph forward, one backward; the same numbers",
        ([0, 1], [0, -INF]),
        judges.compiled,
    ),
    Check("`torch.export`", "one program for any number of rows", _PAIRS, judges.exported),
    Check(
        "several dims at once",
        "one row of all positions, whose index has coordinates",
        ([[0, 1], [3, 2]], [[0, 1, 5], [3, -INF, 2]]),
        judges.several_dims,
        asked=lambda function: function.joint,
    ),
)


def cell(check: Check, functions: Sequence[Function]) -> str:
    """What a library makes of it: passes, what fails with the smallest input, or absent."""
    asked = [function for function in functions if check.asked(function)]
    failing = [told for function in asked if (told := _first_failure(check, function))]
    if not asked:
        return "absent"
    return f"**fails**: {'; '.join(failing)}" if failing else "passes"


def _first_failure(check: Check, function: Function) -> str:
    for given in check.inputs:
        scores = torch.tensor(given, dtype=check.dtype)
        try:
            wrong = check.judge(function, scores.clone())
        except Exception as error:
            wrong = f"raises {type(error).__name__}"
        if wrong:
            return f"`{function.name}({judges.short(scores)})` {wrong}"
    return ""


_ABOUT = """# Hard and soft as functions

`attnlab.functional`, on tensors of any shape, with neither a model nor a configuration. This page is written
by `python tests/helpers/conformance.py`.
"""
_BESIDE = """
## Beside other libraries

Every function is asked what stands on the left. Right is what follows from its definition, which is written
out in plain Python and double precision in `tests/helpers/peers.py`, and from the rules above. An answer may
be off by four roundings of its dtype, an index by 0.01. A cell that fails names, of each function that does,
the smallest input tried that goes wrong; *absent*: the library has no function that can be asked. What others
document otherwise, such as NaN for a row of nothing, fails here too. Where there is no gradient, no
derivatives are asked for.

Asked are {}. The `argmax` of softtorch gives shares, and has `softness=1, standardize=False` here.
"""
_FUNCTIONS = (
    functional.softmax,
    functional.log_softmax,
    functional.hardmax,
    functional.argmax,
    functional.softargmax,
    functional.spread,
    functional.sparsemax,
    functional.entmax15,
    functional.entropy,
    functional.straight_through,
)


def lines() -> Iterator[str]:
    """The page, line by line, as it is found out."""
    found = libraries()
    yield _ABOUT
    yield "| function | what it gives |\n|---|---|"
    for function in _FUNCTIONS:
        first = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        yield f"| {_typed(function)} | {first.replace('|', '&#124;')} |"
    yield f"\n```text\n{inspect.getdoc(functional)}\n```"
    asked = (f"of {name} {', '.join(f'`{f.name}`' for f in functions)}" for name, functions in found.items())
    yield _BESIDE.format("; ".join(asked))
    yield f"| what comes in | what is right | {' | '.join(found)} |\n|{'---|' * (len(found) + 2)}"
    for check in CHECKS:
        cells = (cell(check, functions) for functions in found.values())
        yield f"| {check.name} | {check.told} | {' | '.join(cells)} |"


def _typed(function: Callable[..., Any]) -> str:
    """As a person would type it, with its defaults."""
    taken = [
        name if each.default is each.empty else f"{name}={each.default!r}"
        for name, each in inspect.signature(function).parameters.items()
        if name != "temperature"  # which is there to be refused
    ]
    return f"`{function.__name__}({', '.join(taken)})`"


def main() -> None:
    """Print the page."""
    warnings.simplefilter("ignore")  # of packages that are imported
    torch.set_num_threads(1)
    for line in lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
