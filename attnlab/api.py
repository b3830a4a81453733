"""Mechanisms in a model and a training loop of one's own, beside torch's `scaled_dot_product_attention`."""

import functools
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.building import make_part
from attnlab.config.composing import compose
from attnlab.core.attention import attend
from attnlab.core.interfaces import AttentionInput, Mechanism, Pass, Placement, Selection, Site
from attnlab.core.schedules import move_all
from attnlab.randomness import Randomness


def mechanism(name: str, *, query_size: int = 1, **settings: Any) -> Mechanism:
    """The mechanism that `attention=NAME attention.SETTING=...` chooses on a command line.

    `mechanism("hard_reinforce", samples=2)`. query_size: width of the queries that a learned baseline reads.
    Raises ConfigurationError or ValueError, as the command would.
    """
    said = [f"attention.{key}={'null' if value is None else value}" for key, value in settings.items()]
    made: Mechanism = make_part("attention", compose([f"attention={name}", *said]).tree["attention"])
    made.estimator.prepare({"attention": Placement(query_size)})
    for part in (made.distribution, made.selector, made.estimator):
        move_all(part, 0)
    return made


class _Attended(NamedTuple):
    """What attention read, the choice behind it, and what trains it."""

    output: Float[Tensor, "K *rows T E"]
    """For each of K alternatives; of mechanisms with a single one, such as soft, it is `output[0]`."""
    selection: Selection
    """Its rows B are the leading axes, flattened."""
    mechanism: Mechanism
    query: Float[Tensor, "1 B T Q"]

    def surrogate(
        self, losses: Float[Tensor, "K *rows T"], valid: Bool[Tensor, "*rows T"] | None = None
    ) -> Float[Tensor, "*rows T"]:
        """What to minimise in place of the losses: its gradient is the mechanism's estimate.

        Steps that are not valid count nothing. The loss of a learned baseline is in it. Raises ValueError for
        losses that are not one for each alternative, row and step.
        """
        wanted = tuple(self.output.shape[:-1])
        if losses.shape != wanted:
            raise ValueError(
                f"losses must be one for each alternative, row and step, {wanted}, got {tuple(losses.shape)}"
            )
        rows = losses.reshape(len(losses), *self.query.shape[1:3])
        counts = torch.ones_like(losses[0], dtype=torch.bool) if valid is None else valid
        site = Site(self.selection, self.query, "step")
        taken = Pass(rows[..., None], {"attention": site})
        made = self.mechanism.estimator(rows, taken, counts.expand(losses.shape[1:]).reshape(rows.shape[1:]))
        return (made.loss + made.auxiliary).view(losses.shape[1:])


def attention(
    query: Float[Tensor, "*rows T Q"],
    key: Float[Tensor, "*rows S Q"],
    value: Float[Tensor, "*rows S E"],
    attn_mask: Tensor | None = None,
    *,
    mechanism: str | Mechanism,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> _Attended:
    """values read by a choice from scale * query . key: with `soft`, torch's `scaled_dot_product_attention`.

    attn_mask: True = may be attended, or numbers to add to the scores; it broadcasts to (..., T, S). scale:
    1/sqrt(Q) unless given. generator: of every draw; torch's global one unless given. Heads and whatever else
    stands in front are rows. The output has an axis K of alternatives in front.
    """
    chosen = _by_name(mechanism) if isinstance(mechanism, str) else mechanism
    maps = chosen.distribution.maps
    parts = zip(query.chunk(maps, -1), key.chunk(maps, -1), strict=True)
    first, *others = (_scores(*part, attn_mask, scale) for part in parts)
    leading = first.shape[:-2]

    def rows(x: Tensor) -> Tensor:
        return x.expand(*leading, *x.shape[-2:]).reshape(leading.numel(), *x.shape[-2:])

    shown, step = rows(first)[None], torch.arange(query.size(-2), device=query.device)
    mask = shown.detach() > -torch.inf
    beside = tuple(rows(scores)[None] for scores in others)
    inputs = AttentionInput(shown, mask, torch.zeros_like(mask), step, beside=beside)
    selection = chosen.selector(inputs, Randomness(generator))
    read = attend(selection.weights, rows(value)).expand(-1, -1, query.size(-2), -1)
    return _Attended(read.reshape(len(read), *leading, *read.shape[2:]), selection, chosen, rows(query)[None])


def _scores(query: Tensor, key: Tensor, attn_mask: Tensor | None, scale: float | None) -> Tensor:
    factor: float = query.size(-1) ** -0.5 if scale is None else scale
    scores = factor * query @ key.transpose(-1, -2)
    if attn_mask is None:
        return scores
    if attn_mask.dtype == torch.bool:
        return scores.masked_fill(~attn_mask, -torch.inf)
    return scores + attn_mask


@functools.cache
def _by_name(name: str) -> Mechanism:
    """With its default settings, made once."""
    return mechanism(name)
