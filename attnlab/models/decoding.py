"""Decoding: from a source to symbols, step by step, under an evaluation rule."""

import torch
from jaxtyping import Int
from torch import Tensor

from attnlab.core.choosing import choosing, in_turn
from attnlab.core.interfaces import Pass, Selector
from attnlab.models.model import Model, predict, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, EOS, PAD, UNK, Batch

NEVER = (PAD, BOS, UNK)
"""Stand for no symbol of a target."""


@torch.no_grad()
def greedy(model: Model, batch: Batch, selector: Selector, limit: int) -> Int[Tensor, "B L"]:
    """The most probable symbol at each step, up to EOS, PAD behind it; at most `limit` steps."""
    device = batch.source.device
    randomness = Randomness(torch.Generator(device))
    choose = choosing(selector, randomness, model.sites, batch.gold)
    memory, _ = model.encode(batch.source, choose, randomness)
    state = model.start(memory)
    symbol = torch.full((len(batch.source), 1), BOS, device=device)
    running = torch.ones_like(symbol, dtype=torch.bool)
    never = torch.tensor(NEVER, device=device)
    symbols = []
    before: Pass | None = None
    earlier = torch.zeros(1, len(symbol), 1, device=device)
    for _ in range(limit):
        taken, state = model.step(symbol, state, memory, choose, randomness)
        taken = in_turn(selector, taken, earlier, before).whole()
        log_probs = predict(taken.logits, taken.mass)
        best = log_probs.index_fill(-1, never, -torch.inf).argmax(-1)
        symbol = torch.where(running, best, PAD)
        symbols.append(symbol)
        before, earlier = taken, token_losses(taken.logits, symbol)
        running = running & (symbol != EOS)
        if not running.any():
            break
    return torch.cat(symbols, 1)
