"""A recurrent encoder and decoder with one attention between them."""

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import torch
from jaxtyping import Float, Int
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

    in_parts = True

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
        states, carried = self.decoder(self.decoder.embedding(previous), state.carried, randomness.generator)
        query = states[None]
        context, selection = self.attention(query, memory, choose, first=state.taken)
        taken = Pass(self.decoder.readout(query, context), {"attention": Site(selection, query, "step")})
        return taken, _State(carried, state.taken + previous.size(1))

    def forward(self, batch: Batch, choose: Choose, randomness: Randomness) -> Pass:
        """Teacher forcing, all steps at once."""
        memory, _ = self.encode(batch.source, choose, randomness)
        return self.step(shifted(batch.target), self.start(memory), memory, choose, randomness)[0]


class _Fed(NamedTuple):
    """What is carried from step to step, with an axis K in front."""

    carried: list[list[Float[Tensor, "K B H"]]]  # the states of each layer: one, of an LSTM two
    context: Float[Tensor, "K B R"]
    taken: int


class InputFeeding(Seq2Seq):
    """The context that a step reads enters the next state beside the symbol: h_t = cell([e(y_{t-1});
    W_c c_{t-1}], h_{t-1}), with zeros before the first. Luong et al. 2015 (1508.04025).

    A choice reaches its own step and all later ones, and each alternative goes on as a row of the batch.
    """

    def __init__(self, encoder: Encoder, attention: Attention, decoder: Decoder):
        super().__init__(encoder, attention, decoder)
        self.sites = {"attention": self.sites["attention"]._replace(reach="later")}

    def start(self, memory: Memory) -> _Fed:
        rows, _, width = memory.values.shape
        return _Fed([], memory.values.new_zeros(1, rows, width), 0)

    def step(
        self,
        previous: Int[Tensor, "B 1"],
        state: _Fed,
        memory: Memory,
        choose: Choose,
        randomness: Randomness,
    ) -> tuple[Pass, _Fed]:
        k, rows, _ = state.context.shape
        symbol = self.decoder.embedding(previous).expand(k, rows, 1, -1)
        inputs = torch.cat([symbol, state.context[:, :, None]], -1).flatten(0, 1)
        before = tuple(_folded(layer, k) for layer in state.carried)
        states, carried = self.decoder(inputs, before, randomness.generator)
        query = states.unflatten(0, (k, rows))
        context, selection = self.attention(query, memory, choose, first=state.taken)
        site = Site(selection, query, self.sites["attention"].reach)
        after = [_unfolded(layer, k) for layer in carried]
        taken = Pass(self.decoder.read(query, context), {"attention": site})
        return taken, _Fed(after, context.squeeze(2), state.taken + 1)

    def forward(self, batch: Batch, choose: Choose, randomness: Randomness) -> Pass:
        """Teacher forcing, step by step."""
        return Model.forward(self, batch, choose, randomness)


def _folded(layer: list[Tensor], k: int) -> Any:
    """The states of a layer (K B H) as nn.LSTM takes them, a pair of 1 KB H, or nn.GRU, one."""
    folded = [part.expand(k, -1, -1).flatten(0, 1)[None] for part in layer]
    return tuple(folded) if len(folded) > 1 else folded[0]


def _unfolded(layer: Any, k: int) -> list[Tensor]:
    parts = layer if isinstance(layer, tuple) else (layer,)
    return [part[0].unflatten(0, (k, -1)) for part in parts]


Make = Callable[[int, int | None], Attention]
"""attention(query_size, state_size), which a model calls with its widths; no state_size where what it attends
to has the width of the queries already."""


def lstm(source_symbols: int, target_symbols: int, attention: Make, **sizes: Unpack[Recurrent]) -> Seq2Seq:
    """LSTM cells (Hochreiter & Schmidhuber 1997) in encoder and decoder."""
    return _assemble(nn.LSTM, source_symbols, target_symbols, attention, sizes)


def gru(source_symbols: int, target_symbols: int, attention: Make, **sizes: Unpack[Recurrent]) -> Seq2Seq:
    """GRU cells (Cho et al. 2014, 1406.1078) in encoder and decoder."""
    return _assemble(nn.GRU, source_symbols, target_symbols, attention, sizes)


def _assemble(
    cell: Cell, source_symbols: int, target_symbols: int, attention: Make, sizes: Recurrent
) -> Seq2Seq:
    hidden_size, readout_size = sizes["hidden_size"], sizes["readout_size"]
    shared = sizes["embedding_size"], hidden_size, sizes["layers"], sizes["dropout"]
    model, fed = (InputFeeding, readout_size) if sizes.get("input_feeding") else (Seq2Seq, 0)
    with part():
        encoder = Encoder(cell, source_symbols, *shared)
    with part():
        decoder = Decoder(cell, target_symbols, *shared, 2 * hidden_size, readout_size, fed)
    return model(encoder, attention(hidden_size, 2 * hidden_size), decoder)
