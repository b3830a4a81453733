"""docs/functional.md: its rows are of today, ours never fails, and each question finds a wrong answer."""

import math
import subprocess
import sys
from pathlib import Path

import conformance
import pytest
import torch
from peers import Function, libraries
from torch import Tensor

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "functional.md").read_text(encoding="utf-8")
TRACED = ("`torch.compile(fullgraph=True)`", "`torch.export`")
"""Not asked where shapes are checked, as they are in tests."""
CHECKS = {check.name: check for check in conformance.CHECKS}


def table(page: str) -> dict[str, list[str]]:
    """The columns of the page's last table, by their headings."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    start = next(i for i, row in enumerate(rows) if row[0] == "what comes in")
    heading, *below = rows[start:]
    return {name: list(column) for name, *column in zip(heading, *below, strict=True)}


def test_the_page_has_the_rows_of_today_and_our_column_has_no_failure():
    written = table(PAGE)
    assert written["what comes in"] == [check.name for check in conformance.CHECKS]
    assert written["what is right"] == [check.told for check in conformance.CHECKS]
    ours, *others = [cells for name, cells in written.items() if not name.startswith("what ")]
    assert set(ours) == {"passes"} and len(others) >= 3
    assert all(any(cell.startswith("**fails**") for cell in cells) for cells in others)


def test_the_page_has_the_functions_and_rules_of_today():
    made = conformance.lines()
    for line in (next(made), *(next(made) for _ in range(12))):
        assert line in PAGE


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in TRACED])
def test_ours_passes(name: str):
    (ours,) = (functions for library, functions in libraries().items() if library.startswith("attnlab "))
    assert conformance.cell(CHECKS[name], ours) == "passes"


def last_of_the_largest(scores: Tensor) -> Tensor:
    return torch.nn.functional.one_hot((scores == scores.amax()).nonzero()[-1, 0], len(scores)) * 1.0


class OneWay(torch.autograd.Function):
    """The softmax, whose gradient is right and cannot be derived in forward mode."""

    @staticmethod
    def forward(ctx, scores: Tensor) -> Tensor:  # pyright: ignore
        ctx.save_for_backward(shares := scores.softmax(-1))
        return shares

    @staticmethod
    def backward(ctx, seen: Tensor) -> Tensor:  # pyright: ignore
        (shares,) = ctx.saved_tensors
        return shares * (seen - (seen * shares).sum(-1, keepdim=True))


def frozen(scores: Tensor) -> Tensor:
    """The first derivative is that of the softmax, and the second is missing."""
    shares = scores.softmax(-1).detach()
    slope = shares * (scores - (shares * scores).sum(-1, keepdim=True))
    return shares + slope - slope.detach()


WRONG = {
    "numbers of any size": Function("", "softmax", lambda x: x.div(1.001).softmax(-1)),
    "-inf beside numbers": Function("", "softmax", lambda x: x.clamp_min(-9.0).softmax(-1)),
    "-inf alone": Function("", "softmax", lambda x: x.softmax(-1)),
    "+inf": Function("", "softmax", lambda x: x.softmax(-1)),
    "NaN": Function("", "argmax", lambda x: x.argmax(-1)),
    "all equal": Function("", "hardmax", last_of_the_largest),
    "ties of the maximum": Function("", "hardmax", last_of_the_largest),
    "float16": Function("", "softmax", lambda x: x.float().softmax(-1)),
    "bfloat16": Function("", "softargmax", lambda x: x.softmax(-1) @ torch.arange(len(x)).to(x)),
    "`torch.func.vmap`": Function("", "softmax", lambda x: x.sub(x.max().item()).softmax(-1)),
    "forward-mode derivatives": Function("", "softmax", OneWay.apply),
    "second derivatives": Function("", "softmax", frozen),
    "`torch.compile(fullgraph=True)`": Function("", "softmax", lambda x: x.sub(float(x.max())).softmax(-1)),
    "`torch.export`": Function("", "softmax", lambda x: x.reshape(2, -1).softmax(-1)),
    "several dims at once": Function(
        "", "argmax", torch.argmax, lambda x: torch.stack(torch.unravel_index(x.argmax(), x.shape)).flip(0)
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in TRACED else []) for name in CHECKS]
)
def test_a_wrong_answer_is_found_with_its_input(name: str):
    assert conformance.cell(CHECKS[name], [WRONG[name]]).startswith("**fails**: `([")


def test_a_function_that_cannot_be_asked_is_absent():
    soft = Function("softmax", "softmax", lambda x: x.softmax(-1))
    assert conformance.cell(CHECKS["several dims at once"], [soft]) == "absent"
    assert conformance.cell(CHECKS["second derivatives"], [soft]) == "passes"
    hard = Function("argmax", "argmax", lambda x: x.argmax(-1))
    assert conformance.cell(CHECKS["second derivatives"], [hard]) == "absent"
    assert conformance.cell(CHECKS["NaN"], [soft, hard]) == "**fails**: `argmax([nan, 0])` is 0"
    assert math.isnan(soft.call(torch.tensor([math.nan, 0.0]))[1])


@pytest.mark.slow
def test_the_page_is_what_the_command_prints():
    """Column by column, of the libraries that are installed in the version that the page names."""
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "conformance.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    written, made = table(PAGE), table(printed)
    same = written.keys() & made.keys()
    assert len(same) >= 4 and any(name.startswith("attnlab ") for name in same)
    assert {name: made[name] for name in same} == {name: written[name] for name in same}
