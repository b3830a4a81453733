"""A recurrent decoder and the additive readout that joins its state with what attention reads."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.core.readout import Readout
from attnlab.models.encoder import Cell
from attnlab.randomness import dropout, part
from attnlab.tasks.batch import PAD

Carried = tuple[Any, ...]
"""What the recurrent layers carry from step to step, one entry a layer; () at the start."""


class Decoder(nn.Module):
    """Runs `layers` recurrent layers over embeddings of previous symbols, with `fed` numbers beside each; the
    readout is output(tanh(W_h h + W_c c)).

    The readout is additive: values are taken to its width once, before they are read, and everything behind a
    choice broadcasts over K and T.
    """

    def __init__(
        self,
        cell: Cell,
        symbols: int,
        embedding_size: int,
        hidden_size: int,
        layers: int,
        dropout: float,
        state_size: int,
        readout_size: int,
        fed: int = 0,
    ):
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_size, padding_idx=PAD)
        sizes = [embedding_size + fed] + [hidden_size] * (layers - 1)
        with part():
            self.layers = nn.ModuleList(cell(size, hidden_size, batch_first=True) for size in sizes)
        self.from_state = nn.Linear(hidden_size, readout_size)
        self.from_context = nn.Linear(state_size, readout_size, bias=False)
        self.output = nn.Linear(readout_size, symbols)
        self.dropout = dropout

    def forward(
        self, inputs: Float[Tensor, "B T E"], state: Carried, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, "B T Q"], Carried]:
        """States after reading each input, and what to carry on; dropout, in training, draws from the
        generator."""
        rate = self.dropout if self.training else 0.0
        states, carried = inputs, []
        for index, layer in enumerate(self.layers):
            states, last = layer(dropout(states, rate, generator), state[index] if state else None)
            carried.append(last)
        return states, tuple(carried)

    def read(
        self, states: Float[Tensor, "#K B T Q"], context: Float[Tensor, "K B #T R"]
    ) -> Float[Tensor, "K B T V"]:
        """Logits of the next symbol for every alternative."""
        return self.output(torch.tanh(self.from_state(states) + context))

    def readout(
        self, states: Float[Tensor, "1 B T Q"], contexts: Float[Tensor, "K B #T R"]
    ) -> Float[Tensor, "K B T V"] | Readout:
        """The same, some alternatives at a time where they are enumerated: the same ones at all steps.

        tanh(x) = 2 sigmoid(2 x) - 1, so that output(tanh(x)) is a linear map of the sigmoid, which costs a
        tenth of a tanh; where numbers are short, the sigmoid's differences would be rounded off.
        """
        output = self.output
        if len(contexts) == 1 or contexts.size(-2) > 1 or type(output) is not nn.Linear:  # nor what wraps one
            return self.read(states, contexts)
        state = self.from_state(states).contiguous()
        numbers = state[0].numel() // state.size(-1) * (state.size(-1) + output.out_features)
        if torch.finfo(state.dtype).bits < 32:
            return Readout(_by_tanh, contexts, (state, output.weight, output.bias), numbers)
        shared = 2 * state, 2 * output.weight, output.bias - output.weight.sum(-1)
        return Readout(_by_sigmoid, 2 * contexts, shared, numbers)


def _by_tanh(contexts: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return nn.functional.linear(torch.tanh(state + contexts), weight, bias)


def _by_sigmoid(contexts: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return nn.functional.linear((state + contexts).sigmoid_(), weight, bias)
