"""A recurrent encoder and decoder with one attention between them."""

from collections.abc import Callable
from typing import NamedTuple, Unpack

from jaxtyping import Int
from torch import Tensor, nn

from attnlab.core.attention import Attention, Memory
from attnlab.core.interfaces import Choose, Pass, Placement, Site
from attnlab.models.decoder import Carried, Decoder
from attnlab.models.encoder import Cell, Encoder
from attnlab.models.model import Encoded, Model, shifted
from attnlab.randomness import Randomness, part
from attnlab.settings import Recurrent
from attnlab.tasks.batch import PAD, Batch


class _State(NamedTuple):
    """What is carried from step to step."""

    carried: Carried
    taken: int
    """Steps so far."""


class Seq2Seq(Model):
    """Its parts, as gradient norms name them: encoder, attention, decoder.

    Contexts do not enter the next state, so a choice reaches its own step alone, and all steps are taken at
    once.
    """

    def __init__(self, encoder: Encoder, attention: Attention, decoder: Decoder):
        super().__init__()
        self.encoder = encoder
        self.attention = attention
        self.decoder = decoder
        self.sites = {"attention": Placement(decoder.from_state.in_features)}

    def encode(self, source: Int[Tensor, "B S"], choose: Choose, randomness: Randomness) -> Encoded:
        """Keys and values of all positions; padding is masked here, once."""
        mask = source != PAD
        states = self.encoder(source, mask, randomness.generator)
        values = self.decoder.from_context(states)
        return Encoded(self.attention.memory(states, values, mask[:, None]), {})

    def start(self, memory: Memory) -> _State:
        return _State((), 0)

    def step(
        self,
        previous: Int[Tensor, "B T"],
        state: _State,
        memory: Memory,
        choose: Choose,
        randomness: Randomness,
    ) -> tuple[Pass, _State]:
        states, carried = self.decoder(previous, state.carried, randomness.generator)
        query = states[None]
        context, selection = self.attention(query, memory, choose, first=state.taken)
        taken = Pass(self.decoder.read(query, context), {"attention": Site(selection, query, "step")})
        return taken, _State(carried, state.taken + previous.size(1))

    def forward(self, batch: Batch, choose: Choose, randomness: Randomness) -> Pass:
        """Teacher forcing, all steps at once."""
        memory, _ = self.encode(batch.source, choose, randomness)
        return self.step(shifted(batch.target), self.start(memory), memory, choose, randomness)[0]


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
