"""Beam search: the most probable outputs of each source, all beams of all rows in one batch."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab.core.choosing import choosing, in_turn
from attnlab.core.interfaces import Pass, Selection, Selector
from attnlab.models.decoding import NEVER
from attnlab.models.model import Model, predict, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, EOS, PAD, Batch


class Beams(NamedTuple):
    """The best outputs of each row, the very best first."""

    symbols: Int[Tensor, "B N L"]  # up to EOS, PAD behind it
    log_probs: Float[Tensor, "B N"]  # of the whole output; -inf where a row has fewer outputs than that


class _Prefixes(NamedTuple):
    """The best outputs so far of the rows that go on, W of each."""

    symbols: Int[Tensor, "R W t"]
    log_probs: Float[Tensor, "R W"]
    lengths: Int[Tensor, "R W"]  # with EOS
    ended: Bool[Tensor, "R W"]


@torch.no_grad()
def beam_search(
    model: Model, batch: Batch, selector: Selector, limit: int, beams: int, normalised: bool = False
) -> Beams:
    """The best outputs of at most `limit` steps: by log p(output), or, `normalised`, by log p(output) / its
    number of symbols, EOS among them.

    Each step goes on with the `beams` best of all continuations of a row, those that have ended among them: 1
    is greedy decoding, and as many as there are continuations is exhaustive search. A row whose outputs all
    have ended takes no more steps. Choices are read by the selector, as in `greedy`.
    """
    rows, device = len(batch.source), batch.source.device
    randomness, gold = Randomness(torch.Generator(device)), batch.gold
    memory, _ = model.encode(batch.source, choosing(selector, randomness, model.sites, gold), randomness)
    state, before = model.start(memory), None
    going, symbol = torch.arange(rows, device=device), torch.full((rows, 1), BOS, device=device)
    earlier = torch.zeros(1, rows, 1, device=device)
    dtype = torch.promote_types(next(model.parameters()).dtype, torch.float32)
    symbols = torch.full((rows, beams, limit), PAD, device=device)
    log_probs = torch.full((rows, beams), -torch.inf, dtype=dtype, device=device)
    best = _start(symbols, log_probs)
    for _ in range(limit):
        taken, state = model.step(
            symbol, state, memory, choosing(selector, randomness, model.sites, gold), randomness
        )
        taken = in_turn(selector, taken, earlier, before).whole()
        following = predict(taken.logits, taken.mass)[:, 0].unflatten(0, best.ended.shape)
        width = best.ended.size(1)
        best, origin = _extended(best, following, beams, normalised)
        _, found, length = best.symbols.shape
        symbols[going, :found, :length], log_probs[going, :found] = best.symbols, best.log_probs
        on = ~best.ended.all(1)
        if not on.any():
            break
        chosen = (torch.arange(len(going), device=device)[:, None] * width + origin)[on].flatten()
        state = model.rows(state, chosen, len(symbol))
        if found != width or not on.all():
            memory, gold = model.rows(memory, chosen, len(symbol)), gold[chosen]
        before = _rows(taken, chosen, len(symbol))
        going, best = going[on], _Prefixes(*(part[on] for part in best))
        symbol = best.symbols[..., -1].reshape(-1, 1)
        earlier = token_losses(before.logits, symbol)
    return Beams(symbols[..., : int((symbols != PAD).sum(-1).max())], log_probs)


def _start(symbols: Int[Tensor, "B N L"], log_probs: Float[Tensor, "B N"]) -> _Prefixes:
    """The empty output of every row."""
    length = torch.zeros_like(symbols[:, :1, 0])
    return _Prefixes(symbols[:, :1, :0], torch.zeros_like(log_probs[:, :1]), length, length.bool())


def _extended(
    best: _Prefixes, following: Float[Tensor, "R W V"], beams: int, normalised: bool
) -> tuple[_Prefixes, Int[Tensor, "R X"]]:
    """The best continuations of every row, and which prefix each goes on from; what has ended goes on with
    PAD, for nothing."""
    device, vocabulary = following.device, following.size(-1)
    following = following.index_fill(-1, torch.tensor(NEVER, device=device), -torch.inf)
    padding = torch.where(torch.arange(vocabulary, device=device) == PAD, 0.0, -torch.inf)
    total = best.log_probs[..., None] + torch.where(best.ended[..., None], padding, following)
    lengths = torch.where(best.ended, best.lengths, best.symbols.size(-1) + 1)
    value = (total / lengths[..., None] if normalised else total).flatten(1)
    top = value.topk(min(beams, value.size(1)), 1).indices
    origin, symbol, log_probs = top // vocabulary, top % vocabulary, total.flatten(1).gather(1, top)
    symbol = symbol.masked_fill(log_probs.isneginf(), PAD)  # no continuation: there are fewer than beams
    before = best.symbols.gather(1, origin[..., None].expand(-1, -1, best.symbols.size(-1)))
    ended = best.ended.gather(1, origin) | (symbol == EOS) | (symbol == PAD)
    symbols = torch.cat([before, symbol[..., None]], -1)
    return _Prefixes(symbols, log_probs, lengths.gather(1, origin), ended), origin


def _rows(taken: Pass, chosen: Int[Tensor, " N"], count: int) -> Pass:
    """What the chosen ones of `count` rows took, as the next step is told of it."""

    def of(part: Tensor) -> Tensor:
        return part.index_select(1, chosen) if part.size(1) == count else part  # else the same for all

    sites = {
        name: site._replace(selection=Selection(*map(of, site.selection)), query=of(site.query))
        for name, site in taken.sites.items()
    }
    return Pass(of(taken.logits), sites)
