"""Encoder, attention and decoder as one model: teacher-forced in one go, free-running step by step."""

from collections.abc import Callable
from typing import NamedTuple, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.attention.attention import Attention, Memory
from attnlab.attention.interfaces import Selection, Selector
from attnlab.models.decoder import Decoder
from attnlab.models.encoder import Cell, Encoder
from attnlab.randomness import Randomness, drawing, part
from attnlab.settings import Recurrent
from attnlab.tasks.batch import BOS, EOS, PAD, UNK, Batch


class Output(NamedTuple):
    """What a model says about a batch under teacher forcing."""

    logits: Float[Tensor, "K B T V"]  # of the target symbol, for every alternative
    selection: Selection
    state: Float[Tensor, "B T Q"]  # decoder states before the choice


class Seq2Seq(nn.Module):
    """p(target | source) with an injected attention. Parts, as gradient norms name them: encoder, attention,
    decoder."""

    def __init__(self, encoder: Encoder, attention: Attention, decoder: Decoder):
        super().__init__()
        self.encoder = encoder
        self.attention = attention
        self.decoder = decoder

    @property
    def query_size(self) -> int:
        """Width of the decoder states that ask."""
        return self.decoder.from_state.in_features

    def encode(self, batch: Batch, generator: torch.Generator) -> Memory:
        """The source as something to attend to; padding is masked here, once."""
        mask = batch.source != PAD
        states = self.encoder(batch.source, mask, generator)
        return self.attention.memory(states, self.decoder.from_context(states), mask[:, None], batch.gold)

    def forward(
        self,
        batch: Batch,
        randomness: Randomness,
        controls: tuple[str, ...] = (),
        selector: Selector | None = None,
    ) -> Output:
        """Teacher forcing: every step sees the right prefix. `selector` replaces the trained one (an
        evaluation rule)."""
        memory = self.encode(batch, randomness.generator)
        previous = nn.functional.pad(batch.target[:, :-1], (1, 0), value=BOS)
        state, _ = self.decoder(previous, (), randomness.generator)
        context, selection = self.attention(state, memory, randomness, controls, selector)
        return Output(self.decoder.read(state, context), selection, state)

    @torch.no_grad()
    def generate(self, batch: Batch, selector: Selector, limit: int) -> Int[Tensor, "B L"]:
        """Greedy decoding of the sources under an evaluation rule: symbols up to EOS, PAD behind it; at most
        `limit` steps."""
        device = batch.source.device
        randomness = drawing(torch.Generator(device))
        memory, state = self.encode(batch, randomness.generator), ()
        unknown = torch.zeros_like(memory.gold[:, :1])
        symbol = torch.full((len(batch.source), 1), BOS, device=device)
        running = torch.ones_like(symbol, dtype=torch.bool)
        never = torch.tensor([PAD, BOS, UNK], device=device)  # stand for no symbol of a target
        symbols = []
        for step in range(limit):
            here = memory._replace(
                gold=batch.gold[:, step : step + 1] if step < batch.gold.size(1) else unknown
            )
            hidden, state = self.decoder(symbol, state, randomness.generator)
            context, selection = self.attention(hidden, here, randomness, (), selector, step)
            log_probs = predict(self.decoder.read(hidden, context), selection.mass)
            best = log_probs.index_fill(-1, never, -torch.inf).argmax(-1)
            symbol = torch.where(running, best, PAD)
            symbols.append(symbol)
            running = running & (symbol != EOS)
            if not running.any():
                break
        return torch.cat(symbols, 1)


def predict(logits: Float[Tensor, "K B T V"], mass: Float[Tensor, "K B T"]) -> Float[Tensor, "B T V"]:
    """log sum_K mass * softmax(logits): log-probabilities of the next symbol, mixed over alternatives."""
    return torch.logsumexp(mass.log()[..., None] + logits.log_softmax(-1), 0)


Make = Callable[[int, int], Attention]
"""attention(query_size, state_size), which a model calls with its widths."""


def lstm(source_symbols: int, target_symbols: int, attention: Make, **sizes: Unpack[Recurrent]) -> Seq2Seq:
    """LSTM cells (Hochreiter & Schmidhuber 1997) in encoder and decoder."""
    return _assemble(nn.LSTM, source_symbols, target_symbols, attention, sizes)


def gru(source_symbols: int, target_symbols: int, attention: Make, **sizes: Unpack[Recurrent]) -> Seq2Seq:
    """GRU cells (Cho et al. 2014, 1406.1078) in encoder and decoder."""
    return _assemble(nn.GRU, source_symbols, target_symbols, attention, sizes)


def _assemble(
    cell: Cell, source_symbols: int, target_symbols: int, attention: Make, sizes: Recurrent
) -> Seq2Seq:
    hidden_size = sizes["hidden_size"]
    shared = sizes["embedding_size"], hidden_size, sizes["layers"], sizes["dropout"]
    with part():
        encoder = Encoder(cell, source_symbols, *shared)
    with part():
        decoder = Decoder(
            cell, target_symbols, *shared, state_size=2 * hidden_size, readout_size=sizes["readout_size"]
        )
    return Seq2Seq(encoder, attention(hidden_size, 2 * hidden_size), decoder)


def token_losses(logits: Float[Tensor, "K B T V"], target: Int[Tensor, "B T"]) -> Float[Tensor, "K B T"]:
    """-log p(target symbol) in nats, for every alternative."""
    repeated = target.expand(logits.shape[:-1])
    losses = nn.functional.cross_entropy(logits.flatten(0, -2), repeated.flatten(), reduction="none")
    return losses.view(logits.shape[:-1])
