"""The numbers that the page's sentences name: every one is computed, none is typed."""

import torch

from attnlab import functional
from attnlab.microscope import survey
from attnlab.tour import arrows
from attnlab.tour.example import POSITIONS, SCORES, TIED, VALUES, gradient

GOAL = 1.0  # the target at which the sliders begin
_SLIDERS = {  # the sliders' mechanisms that are no choice of attention
    "hard_reinforce_1": ["attention=hard_reinforce", "attention.samples=1", "attention.baseline=none"],
    "argmax": [],
}
WIDTH, KEYS = 64, 10  # of a query, and how many it is held against
_PEAK, _MATCH = (1, 5), 3.4  # of a heatmap (row, column), and the disparity where two pictures match


def numbers() -> dict[str, str]:
    """Every number of page.html and sliders.html by its name."""
    return _example() | _puzzle() | _uses() | _meanings() | _biases()


def measured(names: list[str]) -> dict[str, str]:
    """What each of the sliders' mechanisms does at the five scores with the cost (index - target)^2: bias and
    noise."""
    said = {}
    for name in names:
        overrides = _SLIDERS.get(name, [f"attention={name}"])
        if overrides:
            said[f"measured_{name}"] = arrows.caption(arrows.measure(name, overrides, SCORES, _squared))
    return said


def _squared(weights: torch.Tensor) -> torch.Tensor:
    return (weights @ POSITIONS - GOAL).square()


def _example() -> dict[str, str]:
    hard, weights, tied = (
        functional.hardmax(SCORES),
        functional.softmax(SCORES),
        functional.softargmax(TIED, 30),
    )
    return {
        "max": f"{SCORES.max():g}",
        "argmax": _argmax(SCORES),
        "softargmax": f"{functional.softargmax(SCORES):.2f}",
        "softargmax_at_10": f"{functional.softargmax(SCORES, 10):.2f}",
        "hard_products": " + ".join(f"{weight:.0f}·{i}" for i, weight in enumerate(hard.tolist())),
        "soft_products": " + ".join(f"{weight:.3f}·{i}" for i, weight in enumerate(weights.tolist())),
        "top_at_10": f"{100 * functional.softmax(SCORES, 10).max():.4f}\N{NO-BREAK SPACE}%",
        "norm_at_10": f"{gradient(SCORES, 10).norm():.6f}",
        "tied_argmax": _argmax(TIED),
        "tied_softargmax": f"{tied:.2f}",
        "tied_between": f"{TIED[round(float(tied))]:g}",
    }


def _puzzle() -> dict[str, str]:
    """A classifier of five classes whose right one is position 2: what softmax and argmax are for."""
    leaf = SCORES.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(leaf, torch.tensor(2))
    slope = torch.autograd.grad(loss, leaf)[0]
    hard, soft = functional.hardmax(SCORES) @ VALUES, functional.softmax(SCORES) @ VALUES
    return {
        "argmax_of_softmax": _argmax(functional.softmax(SCORES)),
        "classifier_loss": f"{loss:.2f}",
        "classifier_slope": ", ".join(f"{number:.2f}".replace("-", "−") for number in slope.tolist()),
        "hard_read": f"({hard[0]:.2f}, {hard[1]:.2f})",
        "soft_read": f"({soft[0]:.2f}, {soft[1]:.2f})",
    }


def _uses() -> dict[str, str]:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 10_000, KEYS, WIDTH, dtype=torch.float64, generator=generator)
    dots = (query[:, :1] * key).sum(-1)
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(8.0), indexing="ij")
    heatmap = torch.exp(-((rows - _PEAK[0]) ** 2 + (columns - _PEAK[1]) ** 2))  # 0 far from the peak
    costs = (torch.arange(8, dtype=torch.float64) - _MATCH).square()
    return {
        "width": str(WIDTH),
        "root": f"{WIDTH**0.5:g}",
        "keys": str(KEYS),
        "dot_spread": f"{dots.std():.1f}",
        "top_of_dots": _percent(functional.softmax(dots).amax(-1).mean()),
        "top_of_scaled": _percent(functional.softmax(dots / WIDTH**0.5).amax(-1).mean()),
        "peak": f"({_PEAK[0]}, {_PEAK[1]})",
        "keypoint": _place(heatmap, rows, columns, 1.0),
        "keypoint_at_20": _place(heatmap, rows, columns, 20.0),
        "match": f"{_MATCH:g}",
        "disparity": f"{functional.softargmax(-costs):.2f}",
        "nearest": _argmax(-costs),
    }


def _meanings() -> dict[str, str]:
    shared = (TIED == TIED.max()).double()
    shared /= shared.sum()
    return {
        "tied_hardmax": _vector(functional.hardmax(TIED), "g"),
        "tied_shared": _vector(shared, "g"),
        "tied_shared_index": f"{shared @ POSITIONS:g}",
        "softmax_vector": _vector(functional.softmax(SCORES), ".2f"),
        "logsumexp": f"{SCORES.logsumexp(0):.2f}",
    }


def _biases() -> dict[str, str]:
    """Of ReinMax and of straight-through for a cost that is no parabola, in lengths of the exact gradient."""
    biases = {}
    for name in ("reinmax", "hard_straight_through"):
        found = survey.measure([f"attention={name}"], survey.exponential, 100_000)
        biases[f"bias_of_{name}"] = f"{found.relative_bias:.2f}"
    return biases


def _place(heatmap: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, beta: float) -> str:
    """The softargmax in two dimensions: expected row and expected column."""
    shares = functional.softmax(heatmap.flatten(), beta).view_as(heatmap)
    return f"({(shares * rows).sum():.2f}, {(shares * columns).sum():.2f})"


def _argmax(scores: torch.Tensor) -> str:
    return str(int(functional.argmax(scores)))


def _percent(share: torch.Tensor) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _vector(numbers: torch.Tensor, form: str) -> str:
    return f"({', '.join(f'{number:{form}}' for number in numbers.tolist())})"
