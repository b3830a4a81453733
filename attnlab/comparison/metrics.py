"""What is known of a figure by its tag: which way is better, its unit, and its bounds."""

from math import inf
from typing import NamedTuple


class Facts(NamedTuple):
    """Of a figure."""

    better: str  # higher, lower, or "" where neither is
    unit: str
    bounds: tuple[float, float]


SHARE, POSITIVE, ANY = (0.0, 1.0), (0.0, inf), (-inf, inf)
FACTS = {
    "accuracy": Facts("higher", "share, 0 to 1", SHARE),
    "mass": Facts("higher", "share, 0 to 1", SHARE),
    "nll": Facts("lower", "nats a token", POSITIVE),
    "word_error_rate": Facts("lower", "share of sources, 0 to 1", SHARE),
    "error_rate": Facts("lower", "edits a symbol", POSITIVE),  # symbol_error_rate too
    "edit_distance": Facts("lower", "symbols", POSITIVE),
    "unfinished": Facts("lower", "share, 0 to 1", SHARE),
    "unknown_examples": Facts("", "lines", POSITIVE),
    "accuracy_ceiling": Facts("", "share, 0 to 1", SHARE),
    "attention_entropy": Facts("", "nats", POSITIVE),
    "soft_argmax_gap": Facts("", "soft minus argmax accuracy", (-1.0, 1.0)),
    "examples_per_second": Facts("higher", "examples a second", POSITIVE),
    "surrogate": Facts("", "nats a token", ANY),  # that of REINFORCE rises as the model learns
    "cosine": Facts("higher", "", (-1.0, 1.0)),
    "relative_bias": Facts("lower", "", POSITIVE),
    "relative_variance": Facts("lower", "", POSITIVE),
    "cost": Facts("lower", "", POSITIVE),
}
"""By the end of a tag's last part, the first that fits."""


def facts(metric: str) -> Facts:
    """Of a tag such as val/token_accuracy; neither way is better where nothing is known."""
    if metric.startswith("grad_norm"):
        return Facts("", "before clipping" * (not metric.endswith("clipped")), POSITIVE)
    name = metric.rpartition("/")[2]
    return next((found for end, found in FACTS.items() if name.endswith(end)), Facts("", "", ANY))


def axis_label(metric: str) -> str:
    """The metric with its unit."""
    unit = facts(metric).unit
    return metric + (f" ({unit})" if unit else "")
