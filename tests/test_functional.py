"""The pure functions: a worked example, their definitions, and what masks, ties and extremes must "
"not break."""

import doctest
import inspect
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from attnlab import functional

X = torch.tensor([0.1, 0.3, 0.6, 2.1, 0.55], dtype=torch.float64)

MAPS: dict[str, Callable[..., Tensor]] = {
    "softmax": functional.softmax,
    "log_softmax": functional.log_softmax,
    "hardmax": functional.hardmax,
    "sparsemax": functional.sparsemax,
    "entmax15": functional.entmax15,
}
REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "argmax": functional.argmax,
    "softargmax": functional.softargmax,
}
SHARES = ["softmax", "hardmax", "sparsemax", "entmax15"]
DIFFERENTIABLE = ["softmax", "log_softmax", "softargmax", "sparsemax", "entmax15"]
ALL = MAPS | REDUCTIONS
FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# --- a worked example ---


def test_hardmax_of_the_example_is_one_hot_at_the_maximum():
    assert functional.hardmax(X).tolist() == [0, 0, 0, 1, 0]
    assert functional.argmax(X).item() == 3


def test_softmax_of_the_example_by_hand():
    exponentials = [np.exp(x) for x in X.tolist()]
    close(
        functional.softmax(X),
        torch.tensor([e / sum(exponentials) for e in exponentials], dtype=torch.float64),
    )
    rounded = torch.tensor([0.077958, 0.095218, 0.128530, 0.576033, 0.122262], dtype=torch.float64)
    close(functional.softmax(X), rounded, 5e-7)


@pytest.mark.parametrize(
    ("beta", "index", "tolerance"),
    [(1, 2.569424, 5e-7), (2, 2.899750, 5e-7), (5, 2.999495, 5e-7), (10, 2.99999984, 5e-9)],
)
def test_softargmax_of_the_example_tends_to_argmax_with_beta(beta: int, index: float, tolerance: float):
    exponentials = [np.exp(beta * x) for x in X.tolist()]
    by_hand = sum(i * e for i, e in enumerate(exponentials)) / sum(exponentials)
    assert functional.softargmax(X, beta).item() == pytest.approx(by_hand, abs=1e-12)
    assert functional.softargmax(X, beta).item() == pytest.approx(index, abs=tolerance, rel=0)


@pytest.mark.parametrize("beta", [0.5, 4.0])
@pytest.mark.parametrize(("number", "peak"), [(5, 0), (17, 3), (64, 63), (9, 4)])
def test_softargmax_of_a_peak_over_a_flat_ground_is_off_towards_the_middle_by_its_closed_form(
    number: int, peak: int, beta: float
):
    """And its gradient in the peak is beta p (1 - p) times the distance from the mean of the others."""
    scores = torch.zeros(number, dtype=torch.float64)
    scores[peak] = 1.5
    scores.requires_grad_()
    share = math.exp(1.5 * beta) / (math.exp(1.5 * beta) + number - 1)
    away = ((number - 1) / 2 - peak) * number / (number - 1)  # from the peak to the mean of the others
    found = functional.softargmax(scores, beta)
    assert found.item() - peak == pytest.approx((1 - share) * away, abs=1e-11)
    (slope,) = torch.autograd.grad(found, scores)
    assert slope[peak].item() == pytest.approx(-beta * share * (1 - share) * away, abs=1e-11)
    circle = functional.softargmax(scores, beta, period=number).item()
    assert min(abs(circle - peak), number - abs(circle - peak)) < 1e-9, "a circle has no middle"


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("integers", [range(1, 9), range(-4, 5), range(-9, 0)], ids=str)
def test_the_largest_share_of_integers_is_on_the_maximum_whatever_their_signs(name: str, integers: range):
    shuffled = torch.tensor(list(integers))[
        torch.randperm(len(integers), generator=torch.Generator().manual_seed(1))
    ]
    shares = MAPS[name](shuffled)
    assert shares.dtype == torch.get_default_dtype()
    assert shares.argmax() == shuffled.argmax()
    assert (shares.sort().values.diff() >= 0).all() and shares.sum().item() == pytest.approx(1, abs=1e-6)


def test_softmax_is_exponentials_over_their_sum_at_every_beta():
    scores = normal(3, 5)
    for beta in (0.25, 1.0, 4.0):
        exponentials = (beta * scores).exp()
        close(functional.softmax(scores, beta), exponentials / exponentials.sum(-1, keepdim=True))


def test_beta_may_be_a_tensor_or_any_number_of_numpy():
    expected = functional.softmax(X, 2.0)
    alike: list[Any] = [
        2,
        np.float64(2),
        np.float32(2),
        np.int64(2),
        torch.tensor(2.0),
        torch.tensor(2.0, dtype=X.dtype),
    ]
    for beta in alike:
        assert functional.softmax(X, beta).equal(expected)


def test_small_beta_is_uniform_over_what_is_there_and_large_beta_is_hardmax():
    scores = torch.cat((X, torch.tensor([-torch.inf], dtype=X.dtype)))
    for dtype in FLOATS:
        uniform = functional.softmax(scores.to(dtype), 1e-4)
        assert uniform[5] == 0 and uniform.dtype == dtype
        close(uniform[:5].double(), torch.full_like(X, 0.2), 1e-3)
        assert functional.softmax(scores.to(dtype), 1e4).equal(functional.hardmax(scores.to(dtype)))


@pytest.mark.parametrize("function", [functional.softmax, functional.log_softmax, functional.softargmax])
@pytest.mark.parametrize(
    "beta",
    [0, -1, 0.0, -0.5, float("nan"), float("-inf"), np.float32(0), np.float64(-1), np.int64(0), np.int32(-3)],
    ids=repr,
)
def test_a_beta_that_is_not_positive_is_refused_with_the_rule(function: Callable[..., Tensor], beta: float):
    with pytest.raises(ValueError, match=rf"beta must be positive, got {beta}; .*uniform.*argmax"):
        function(X, beta)


def test_what_softargmax_is_taken_for_is_what_its_docstring_shows():
    shown = doctest.DocTestParser().get_doctest(
        inspect.getdoc(functional.softargmax) or "", vars(functional).copy(), "softargmax", None, None
    )
    assert doctest.DocTestRunner().run(shown) == doctest.TestResults(0, len(shown.examples))
    assert len(shown.examples) >= 10


# --- shapes and dtypes ---


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dim", [-4, -3, -2, -1, 0, 1, 2, 3])
def test_any_dim_agrees_with_moving_that_axis_to_the_end(name: str, dim: int):
    scores = normal(2, 3, 5, 7)
    moved = ALL[name](scores.movedim(dim, -1))
    expected = moved if name in REDUCTIONS else moved.movedim(-1, dim)
    close(ALL[name](scores, dim=dim), expected)


@pytest.mark.parametrize("name", ALL)
def test_leading_dimensions_are_rows_of_their_own(name: str):
    scores = normal(2, 3, 5)
    rows = [torch.stack([ALL[name](row) for row in block]) for block in scores]
    close(ALL[name](scores), torch.stack(rows))
    assert ALL[name](scores[0, 0]).shape == ALL[name](scores).shape[2:]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_maps_keep_the_floating_dtype_and_agree_with_double(name: str, dtype: torch.dtype):
    scores = normal(3, 5, dtype=dtype)
    result = MAPS[name](scores)
    assert result.dtype == dtype
    close(result.double(), MAPS[name](scores.double()), 4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_integers_are_read_in_the_default_floating_dtype(name: str, dtype: torch.dtype):
    integers = torch.tensor([[3, 0, 2], [1, 1, 4]]).to(dtype)
    assert ALL[name](integers).equal(ALL[name](integers.to(torch.get_default_dtype())))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("top", [2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**53) - 1])
def test_integers_of_any_size_are_compared_and_subtracted_exactly(name: str, top: int):
    """Each is read as its distance to the top: 2^24 and 2^24 + 1 are one number in float32."""
    below = torch.tensor([3, 1, 0, 2])
    assert ALL[name](top - below).equal(ALL[name](-below.to(torch.get_default_dtype())))


def test_integers_at_both_ends_of_their_range_are_told_apart():
    ends = torch.tensor([-(2**63), 2**63 - 1, 0])
    halves = torch.tensor([1, 2**64 - 1, 2**63], dtype=torch.uint64)
    for name in SHARES:
        assert ALL[name](ends).tolist() == ALL[name](halves).tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_shares_are_on_the_simplex_in_every_dtype(name: str, dtype: torch.dtype):
    shares = MAPS[name](3 * normal(50, 7, dtype=dtype)).double()
    assert (shares >= 0).all()
    close(shares.sum(-1), torch.ones(50, dtype=torch.float64), 4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_argmax_is_an_int64_index_and_softargmax_counts_in_float32_at_least(dtype: torch.dtype):
    scores = torch.zeros(500, dtype=dtype)
    scores[299] = 100
    assert functional.argmax(scores).dtype == torch.int64 and functional.argmax(scores).item() == 299
    index = functional.softargmax(scores)
    assert index.dtype == torch.promote_types(dtype, torch.float32) and index.item() == 299


# --- what is not there ---


KEPT = [0, 2, 3, 6]


def masked(scores: Tensor) -> Tensor:
    absent = torch.ones(scores.size(-1), dtype=torch.bool)
    absent[KEPT] = False
    return scores.masked_fill(absent, -torch.inf)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.0, -4e4), (1.0, 4e4), (1e4, 0.0)])
def test_masked_keys_can_be_dropped(name: str, dtype: torch.dtype, scale: float, offset: float):
    scores = scale * normal(3, 7, dtype=dtype) + offset
    kept = scores[:, KEPT].clone().requires_grad_()
    scores.requires_grad_()
    result, expected = MAPS[name](masked(scores)), MAPS[name](kept)
    assert result[:, KEPT].equal(expected)
    if name == "log_softmax":  # log 0 is a large finite number
        assert (result[:, [1, 4, 5]] == functional.lowest(dtype)).all()
    else:
        assert (result[:, [1, 4, 5]] == 0).all()
    if name in DIFFERENTIABLE:
        seen = normal(3, 7, seed=1, dtype=dtype)
        (result * seen).sum().backward()
        (expected * seen[:, KEPT]).sum().backward()
        assert scores.grad is not None and kept.grad is not None
        close(scores.grad[:, KEPT], kept.grad, 4 * torch.finfo(dtype).eps)
        assert (scores.grad[:, [1, 4, 5]] == 0).all()


def test_masked_keys_can_be_dropped_from_an_index():
    scores = normal(3, 7)
    kept = torch.tensor(KEPT)
    assert functional.argmax(masked(scores)).equal(kept[functional.argmax(scores[:, KEPT])])
    close(functional.softargmax(masked(scores)), functional.softmax(scores[:, KEPT]) @ kept.double())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_of_nothing_yields_zeros_and_zero_gradient(name: str, dtype: torch.dtype):
    scores = normal(3, 5, dtype=dtype)
    scores[1] = -torch.inf
    scores.requires_grad_()
    result = ALL[name](scores)
    nothing = functional.lowest(dtype) if name == "log_softmax" else 0
    assert (result[1] == nothing).all()
    assert result[[0, 2]].equal(ALL[name](scores[[0, 2]]))
    if name in DIFFERENTIABLE:
        (result * normal(*result.shape, seed=1)).sum().backward()
        assert scores.grad is not None
        assert (scores.grad[1] == 0).all() and scores.grad.isfinite().all() and (scores.grad[0] != 0).any()


def test_a_row_of_nothing_has_entropy_zero_and_zero_gradient():
    scores = torch.full((2, 5), -torch.inf, dtype=torch.float64, requires_grad=True)
    entropy = functional.entropy(functional.softmax(scores))
    entropy.sum().backward()
    assert scores.grad is not None and entropy.tolist() == [0, 0] and (scores.grad == 0).all()


# --- what is no number ---

NAN, INF = torch.nan, torch.inf
ODD = {
    "nan": [[NAN, 1, 2, 0], [0, 1, 2, NAN], [NAN, -INF, INF, 1], [-INF, NAN, -INF, -INF], [NAN] * 4],
    "inf": [
        [0, INF, 1, 2],
        [INF, -INF, 3, INF],
        [-INF, INF, -INF, -INF],
        [INF, INF, INF, INF],
        [-5, 1, 0, INF],
    ],
}


def odd(kind: str, dtype: torch.dtype) -> Tensor:
    """Rows of a kind, each followed by a row of numbers."""
    rows = torch.tensor(ODD[kind], dtype=dtype)
    return torch.stack([rows, normal(5, 4, dtype=dtype)], 1).flatten(0, 1)


@pytest.mark.parametrize("name", [*ALL, "entropy", "straight_through"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_that_holds_nan_is_nan_throughout_and_touches_no_other(name: str, dtype: torch.dtype):
    def function(scores: Tensor) -> Tensor:
        if name == "straight_through":
            return functional.straight_through(functional.hardmax(scores), functional.softmax(scores))
        return functional.entropy(scores.abs()) if name == "entropy" else ALL[name](scores)

    scores = odd("nan", dtype)
    result = function(scores)
    assert (result[::2] == -1).all() if name == "argmax" else result[::2].isnan().all()
    assert result[1::2].equal(function(scores[1::2])) and result[1::2].isfinite().all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", FLOATS)
def test_positive_infinity_is_the_limit_of_a_growing_score(name: str, dtype: torch.dtype):
    scores = odd("inf", dtype).requires_grad_()
    result = ALL[name](scores)
    limit = ALL[name](scores.detach().masked_fill(scores.detach() == INF, 3e4))
    if name == "log_softmax":
        assert result.isfinite().all()
        result, limit = result.exp(), limit.exp()
    assert result.equal(limit)
    if name in DIFFERENTIABLE:
        (result * normal(*result.shape, seed=1, dtype=dtype)).sum().backward()
        assert scores.grad is not None and scores.grad.isfinite().all()
        beside = (scores == INF).any(-1, keepdim=True) & (scores != INF)
        assert (scores.grad[beside] == 0).all() and (scores.grad[1::2] != 0).any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ODD)
def test_odd_rows_are_answered_alike_inside_vmap(name: str, kind: str):
    scores = odd(kind, torch.float32)
    mapped = torch.func.vmap(ALL[name])(scores)
    torch.testing.assert_close(mapped, ALL[name](scores), rtol=0, atol=0, equal_nan=True)


COMPILED = """
import torch
from attnlab import functional
for name, shown in torch.load({inputs!r}).items():
    function = getattr(functional, name)
    torch.compiler.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True)
    for scores in shown:
        torch.testing.assert_close(compiled(scores), function(scores), rtol=0, atol=0, equal_nan=True)
        both = [f(torch.stack([scores, scores]), dim=(0, -1)) for f in (compiled, function)]
        torch.testing.assert_close(*both, rtol=0, atol=0, equal_nan=True)
softened = torch.compile(functional.softmax, backend="eager", fullgraph=True)
scores, beta = torch.arange(5.0), torch.tensor(-1.0)
assert softened(scores, beta).isnan().all() and softened(scores, -beta).equal(functional.softmax(scores))
"""


@pytest.mark.slow
def test_odd_rows_are_answered_alike_in_one_compiled_graph(tmp_path: Path):
    """`fullgraph` refuses a branch on the data. In a process of its own: checks of shapes do not compile."""
    torch.save({name: [odd(kind, torch.float32) for kind in ODD] for name in ALL}, tmp_path / "inputs")
    program = COMPILED.format(inputs=str(tmp_path / "inputs"))
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("function", [functional.softmax, functional.log_softmax, functional.softargmax])
@pytest.mark.parametrize("beta", [0.0, -1.0, NAN, -INF])
def test_a_tensor_beta_that_is_not_positive_is_refused_or_yields_nan(
    function: Callable[..., Tensor], beta: float
):
    with pytest.raises(ValueError, match=rf"beta must be positive, got {beta}; .*uniform.*argmax"):
        function(X, torch.tensor(beta))
    betas = torch.tensor([beta, 2.0])
    mapped = torch.func.vmap(lambda beta: function(X, beta))(betas)
    assert mapped[0].isnan().all()
    close(mapped[1], function(X, 2.0), 1e-6)


# --- extremes and ties ---


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("beta", [1.0, 1e4, 1e30])
def test_nothing_overflows_for_huge_scores_and_huge_beta(
    name: str, dtype: torch.dtype, scale: float, beta: float
):
    scores = (scale * normal(3, 5)).to(dtype)
    scores[0, 2] = -torch.inf
    scores[1, :2] = scores[1, 2:].max()  # a tie
    scores.requires_grad_()
    result = ALL[name](scores) if name in ("sparsemax", "entmax15") else ALL[name](scores, beta)
    (result * normal(*result.shape, seed=1, dtype=result.dtype)).sum().backward()
    assert scores.grad is not None and result.isfinite().all() and scores.grad.isfinite().all()
    if name in SHARES:
        close(result.double(), shared_maxima(scores.detach()), torch.finfo(dtype).eps)


def shared_maxima(scores: Tensor) -> Tensor:
    equal = (scores == scores.max(-1, keepdim=True).values).double()
    return equal / equal.sum(-1, keepdim=True)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_a_huge_beta_tensor_has_a_finite_gradient(scale: float):
    beta = torch.tensor(1e30, requires_grad=True)
    scores = masked(scale * normal(3, 7, dtype=torch.float32))
    (functional.softmax(scores, beta) * normal(3, 7, dtype=torch.float32)).sum().backward()
    assert beta.grad is not None and beta.grad.isfinite()


def test_among_equal_maxima_hard_takes_the_first_and_soft_shares():
    scores = torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0])
    assert functional.hardmax(scores).tolist() == [0, 1, 0, 0, 0]
    assert functional.argmax(scores).item() == 1
    third = torch.tensor([0, 1, 1, 0, 1]) / 3
    for shares in (functional.softmax(scores, 1e4), functional.sparsemax(scores)):
        close(shares, third, 1e-6)
    assert functional.softargmax(scores, 1e4).item() == pytest.approx((1 + 2 + 4) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("ties", "shares", "index"),
    [("first", [0, 1, 0, 0, 0], 1), ("last", [0, 0, 0, 0, 1], 4), ("average", [0, 1, 1, 0, 1], 7 / 3)],
)
def test_equal_maxima_are_resolved_as_asked(ties: Any, shares: list[int], index: float):
    scores = torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0])
    hard = functional.hardmax(scores, ties=ties)
    close(hard, torch.tensor(shares) / sum(shares), 1e-7)
    assert functional.argmax(scores, ties=ties).item() == pytest.approx(index, abs=1e-6)
    endless = torch.tensor([INF, 0.0, INF, -INF])
    assert functional.argmax(endless, ties=ties).item() == {"first": 0, "last": 2, "average": 1}[ties]
    assert functional.hardmax(torch.full((2, 3), -INF), ties=ties).eq(0).all()
    assert functional.hardmax(torch.tensor([1.0, NAN]), ties=ties).isnan().all()


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the checks of shapes and types that tests run under, as a user sees it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_other_ties_are_refused():
    with pytest.raises(ValueError, match="ties must be first, last or average, got 'left'"):
        functional.argmax(X, ties="left")  # pyright: ignore[reportArgumentType]


# --- several dims, positions of one's own, and circles ---


@pytest.mark.parametrize("name", [*MAPS, "entropy"])
@pytest.mark.parametrize("dim", [(-2, -1), (1, 3), (3, 0)])
def test_several_dims_are_one_row_of_all_their_positions(name: str, dim: tuple[int, int]):
    scores = normal(2, 3, 4, 5)
    scores[0, 1, 2, 3] = scores[1, 1, 2, 3] = -INF
    function = MAPS.get(name) or (lambda x, dim: functional.entropy(functional.softmax(x, 1.0, dim), dim))
    row = function(scores.movedim(dim, (-2, -1)).flatten(-2), dim=-1)
    expected = (
        row if name == "entropy" else row.unflatten(-1, [scores.size(d) for d in dim]).movedim((-2, -1), dim)
    )
    close(function(scores, dim=dim), expected)


def test_a_heatmap_has_coordinates():
    heatmap = torch.full((2, 4, 6), -INF, dtype=torch.float64)
    heatmap[0, 1, 5], heatmap[1, 3, 2], heatmap[1, 0, 2] = 2.0, 1.0, 1.0 + math.log(3)
    close(functional.softargmax(heatmap, dim=(-2, -1)), torch.tensor([[1.0, 5.0], [0.75, 2.0]]).double())
    assert functional.argmax(heatmap, dim=(-2, -1)).tolist() == [[1, 5], [0, 2]]
    assert functional.argmax(heatmap, dim=(-2, -1), keepdim=True).shape == (2, 1, 1, 2)
    kept = functional.softargmax(heatmap, dim=(-2, -1), keepdim=True)
    assert kept.shape == (2, 1, 1, 2) and kept[0, 0, 0].tolist() == [1.0, 5.0]
    deviations = functional.spread(heatmap, dim=(-2, -1))
    close(deviations, torch.tensor([[0, 0], [(9 / 4 - 9 / 16) ** 0.5, 0]], dtype=torch.float64))


def test_positions_are_counted_spread_evenly_or_given():
    scores = normal(3, 5)
    probs = functional.softmax(scores, 2.0)
    even = torch.linspace(-1, 1, 5, dtype=torch.float64)
    close(functional.softargmax(scores, 2.0, positions="normalised"), probs @ even)
    given = torch.tensor([3.0, 1, 4, 1, 5], dtype=torch.float64)
    close(functional.softargmax(scores, 2.0, positions=given), probs @ given)
    mean = (probs @ given)[:, None]
    close(functional.spread(scores, 2.0, positions=given), (probs * (given - mean) ** 2).sum(-1).sqrt())
    pair = (even, torch.arange(2.0, 5.0))
    both = functional.softargmax(scores.T, dim=(0, 1), positions=pair)
    joint = functional.softmax(scores.T.flatten()).view(5, 3)
    close(both, torch.stack([(joint.sum(1) * even).sum(), (joint.sum(0) * pair[1]).sum()]))


def test_around_a_circle_the_mean_lies_between_neighbours():
    """Positions 0 and 7 of 8 are neighbours: their mean is 7.5, not 3.5."""
    scores = torch.full((8,), -INF, dtype=torch.float64)
    scores[0] = scores[7] = 0.0
    assert functional.softargmax(scores).item() == 3.5
    assert functional.softargmax(scores, period=8).item() == pytest.approx(7.5)
    length = math.cos(math.pi / 8)  # of the mean of two directions an eighth of a turn apart
    right = 8 / (2 * math.pi) * math.sqrt(-2 * math.log(length))
    assert functional.spread(scores, period=8).item() == pytest.approx(right)
    turned = functional.softargmax(normal(6, 8).roll(3, -1), 2.0, period=8)
    close(turned, (functional.softargmax(normal(6, 8), 2.0, period=8) + 3).remainder(8), 1e-9)
    assert torch.autograd.gradcheck(
        lambda x: functional.softargmax(x, 2.0, period=8), normal(3, 8).requires_grad_()
    )


def test_a_spread_of_nothing_is_zero_with_a_finite_gradient():
    scores = torch.tensor([0.0, 800.0, 0.0], requires_grad=True)
    functional.spread(scores).backward()
    assert functional.spread(scores).item() == 0 and scores.grad is not None
    assert scores.grad.eq(0).all()


@pytest.mark.parametrize("name", [*ALL, "entropy", "spread"])
@pytest.mark.parametrize(
    ("given", "dim", "error", "told"),
    [
        ([1.0, 2.0], -1, TypeError, "scores must be a torch.Tensor, got list"),
        (np.ones(3), -1, TypeError, "scores must be a torch.Tensor, got ndarray"),
        (
            torch.ones(3, dtype=torch.complex64),
            -1,
            TypeError,
            "must be real numbers, got a tensor of torch.comp",
        ),
        (torch.ones(2, 0), -1, ValueError, r"must be a position to choose, got shape \(2, 0\), dim=-1"),
        (torch.ones(3), (), ValueError, "must be a position to choose"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_told_in_one_line(
    name: str, given: Any, dim: Any, error: type[Exception], told: str
):
    with pytest.raises(error, match=told) as found:
        getattr(functional, name)(given, dim=dim)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softargmax", "spread"])
@pytest.mark.usefixtures("unchecked")
def test_a_temperature_is_told_to_be_one_over_beta(name: str):
    with pytest.raises(TypeError, match="beta = 1 / temperature"):
        getattr(functional, name)(X, temperature=2.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"positions": "pixels"}, "positions must be 'normalised', tensors or None, got 'pixels'"),
        ({"positions": torch.ones(4)}, r"must have the shapes \[\(5,\)\], got \[\(4,\)\]"),
        ({"period": 0.0}, "period must be positive"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_positions_that_do_not_fit_are_refused(settings: dict[str, Any], told: str):
    for function in (functional.softargmax, functional.spread):
        with pytest.raises(ValueError, match=told):
            function(X, **settings)


# --- gradients ---


def test_argmax_and_hardmax_have_no_gradient_and_softargmax_has():
    scores = X.clone().requires_grad_()
    assert not functional.hardmax(scores).requires_grad
    assert not functional.argmax(scores).requires_grad
    functional.softargmax(scores, 2.0).backward()
    probs = functional.softmax(X, 2.0)
    positions = torch.arange(5, dtype=X.dtype)
    assert scores.grad is not None
    close(scores.grad, 2 * probs * (positions - probs @ positions))  # beta * cov(one-hot, index)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_first_and_second_order_agree_with_finite_differences(name: str):
    scores = normal(3, 5, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(ALL[name], (scores,))
    assert torch.autograd.gradgradcheck(ALL[name], (scores,))
    function = ALL[name]
    hole = torch.zeros(3, 5, dtype=torch.bool)
    hole[0, 2] = hole[1, :4] = True
    assert torch.autograd.gradcheck(lambda scores: function(scores.masked_fill(hole, -torch.inf)), (scores,))


def test_the_gradient_of_beta_agrees_with_finite_differences():
    beta = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda beta: functional.softmax(masked(normal(3, 7)), beta), (beta,))


@pytest.mark.parametrize("beta", [0.25, 1.0, 4.0])
def test_log_softmax_agrees_with_torch(beta: float):
    scores = normal(3, 5).requires_grad_()
    close(functional.log_softmax(scores, beta), torch.log_softmax(beta * scores, -1))
    close(functional.log_softmax(scores, beta).exp(), functional.softmax(scores, beta))
    ours = torch.autograd.grad((functional.log_softmax(scores, beta) * normal(3, 5, seed=1)).sum(), scores)[0]
    theirs = torch.autograd.grad((torch.log_softmax(beta * scores, -1) * normal(3, 5, seed=1)).sum(), scores)[
        0
    ]
    close(ours, theirs)


# --- sparse relatives ---


def problems() -> Tensor:
    """40 rows of 7 scores, from nearly equal to far apart."""
    return normal(40, 7, seed=3) * torch.logspace(-2, 1, 40, dtype=torch.float64)[:, None]


def by_bisection(share: Callable[[Tensor], Tensor], scores: Tensor) -> Tensor:
    """share(scores - tau), row by row, with tau such that it sums to 1; it falls as tau grows."""
    low, high = scores.amin(-1, keepdim=True) - 2, scores.amax(-1, keepdim=True) + 2
    for _ in range(100):
        middle = (low + high) / 2
        above = share(scores - middle).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return share(scores - low)


def test_sparsemax_is_the_projection_onto_the_simplex():
    scores = problems()
    probs = functional.sparsemax(scores)
    close(probs, by_bisection(lambda x: x.clamp_min(0), scores), 1e-10)
    # the projection p of s is the one point with (s - p) . (q - p) <= 0 for every corner q of the simplex
    towards_corners = (scores - probs) - ((scores - probs) * probs).sum(-1, keepdim=True)
    assert (towards_corners <= 1e-12).all()
    sizes = (probs > 0).sum(-1)
    assert sizes.min() == 1 and sizes.max() == 7


@pytest.mark.parametrize("name", SHARES)
def test_no_share_is_below_zero_nor_minus_zero(name: str):
    assert not MAPS[name](torch.cat([problems(), masked(problems())])).signbit().any()


def test_sparsemax_leaves_points_of_the_simplex_where_they_are():
    point = functional.softmax(normal(10, 7))
    close(functional.sparsemax(point), point)


def test_entmax15_solves_its_optimality_conditions():
    scores = problems()
    probs = functional.entmax15(scores)
    close(probs, by_bisection(lambda x: x.clamp_min(0).square(), scores / 2), 1e-10)
    # of p . s + H(p), where dH/dp_i = -2 sqrt(p_i) + const: s_i - 2 sqrt(p_i) is one number on the support,
    # the largest
    marginal = scores - 2 * probs.sqrt()
    multiplier = (marginal * probs).sum(-1, keepdim=True)
    assert ((marginal - multiplier).abs()[probs > 0] < 1e-9).all()
    assert (marginal <= multiplier + 1e-9).all()
    sizes = (probs > 0).sum(-1)
    assert sizes.min() == 1 and sizes.max() == 7


def test_entmax15_lies_between_softmax_and_sparsemax():
    scores = problems()
    entropies = [
        functional.entropy(map(scores))
        for map in (functional.softmax, functional.entmax15, functional.sparsemax)
    ]
    assert (entropies[0] >= entropies[1]).all() and (entropies[1] >= entropies[2] - 1e-12).all()


@pytest.mark.parametrize("name", ["sparsemax", "entmax15"])
def test_sparse_gradients_are_zero_off_the_support_and_do_not_feel_a_shift(name: str):
    scores = (2 * normal(40, 7)).requires_grad_()
    probs = MAPS[name](scores)
    (gradient,) = torch.autograd.grad((probs * normal(40, 7, seed=1)).sum(), scores)
    off = probs == 0
    assert off.any() and (gradient[off] == 0).all()
    close(gradient.sum(-1), torch.zeros(40, dtype=torch.float64))
    close(MAPS[name](scores + 17), probs)


@pytest.mark.parametrize("name", ALL)
def test_vmap_equals_a_loop(name: str):
    scores = normal(4, 3, 7)
    scores[1] = masked(scores[1])
    mapped = torch.func.vmap(ALL[name])(scores)
    close(mapped, torch.stack([ALL[name](block) for block in scores]))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_vmap_of_the_gradient_equals_a_loop(name: str):
    scores = masked(normal(4, 7))
    gradient = torch.func.grad(
        lambda row: (ALL[name](row)[..., None] * torch.arange(1.0, 8)).sum(-1).square().sum()
    )
    mapped = torch.func.vmap(gradient)(scores)
    close(mapped, torch.stack([gradient(row) for row in scores]))


# --- straight-through and entropy ---


@pytest.mark.parametrize("dtype", FLOATS)
def test_straight_through_has_the_value_of_hard_bit_for_bit_and_the_gradient_of_soft(dtype: torch.dtype):
    scores = (3 * normal(500, 7, dtype=dtype)).requires_grad_()
    soft = functional.softmax(scores)
    hard = functional.hardmax(scores)
    weights = functional.straight_through(hard, soft)
    assert weights.dtype == dtype and weights.equal(hard)
    seen = normal(500, 7, seed=1, dtype=dtype)
    through, direct = (
        torch.autograd.grad((w * seen).sum(), scores, retain_graph=True)[0] for w in (weights, soft)
    )
    assert through.equal(direct) and (through != 0).any()


def test_adding_in_the_other_order_would_not_be_one_hot():
    """The mistake that the test above is there for: hard + soft - stop_gradient(soft) rounds."""
    soft = functional.softmax(3 * normal(500, 7, dtype=torch.float32))
    hard = functional.hardmax(soft)
    assert not (hard + soft - soft).equal(hard)


def test_straight_through_gives_hard_no_gradient():
    hard, soft = (torch.ones(3, requires_grad=True) for _ in range(2))
    functional.straight_through(hard, soft).sum().backward()
    assert hard.grad is None and soft.grad is not None


def test_entropy_is_the_sum_of_p_log_p_in_nats():
    probs = functional.softmax(normal(3, 5))
    by_hand = [-sum(p * np.log(p) for p in row) for row in probs.tolist()]
    close(functional.entropy(probs), torch.tensor(by_hand, dtype=torch.float64))
    close(functional.entropy(probs.T, dim=0), functional.entropy(probs))
    assert functional.entropy(torch.full((8,), 1 / 8)).item() == pytest.approx(np.log(8))


def test_entropy_of_certainty_is_zero_with_a_finite_gradient():
    probs = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], requires_grad=True)
    functional.entropy(probs).sum().backward()
    assert functional.entropy(probs)[0] == 0
    assert probs.grad is not None and probs.grad.isfinite().all()
