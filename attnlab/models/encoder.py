"""A recurrent encoder that reads the source in both directions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.randomness import dropout, part
from attnlab.tasks.batch import PAD

Cell = type[nn.LSTM] | type[nn.GRU]


class Encoder(nn.Module):
    """Embeds the source and runs one recurrent layer in each direction, `layers` times: states (B S 2D), 0 on
    padding.

    The second direction reads each sequence reversed within its own length, so that no packing is needed and
    padding, which lies at the end for both, influences nothing.
    """

    def __init__(
        self, cell: Cell, symbols: int, embedding_size: int, hidden_size: int, layers: int, dropout: float
    ):
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_size, padding_idx=PAD)
        sizes = [embedding_size] + [2 * hidden_size] * (layers - 1)
        with part():
            self.forwards = nn.ModuleList(cell(size, hidden_size, batch_first=True) for size in sizes)
        with part():
            self.backwards = nn.ModuleList(cell(size, hidden_size, batch_first=True) for size in sizes)
        self.dropout = dropout

    def forward(
        self, source: Int[Tensor, "B S"], mask: Bool[Tensor, "B S"], generator: torch.Generator | None
    ) -> Float[Tensor, "B S E"]:
        """States of all positions; dropout, in training, draws from the generator."""
        rate = self.dropout if self.training else 0.0
        position = torch.arange(source.size(1), device=source.device)
        length = mask.sum(1, keepdim=True)
        mirror = torch.where(position < length, length - 1 - position, position)  # B S, its own inverse
        states = self.embedding(source)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            states = dropout(states, rate, generator)
            mirrored = _take(back(_take(states, mirror))[0], mirror)
            states = torch.cat((ahead(states)[0], mirrored), -1)
        return states * mask[..., None]


def _take(states: Tensor, position: Tensor) -> Tensor:
    """states[b, position[b, s]] for every b and s."""
    return states.gather(1, position[..., None].expand(-1, -1, states.size(-1)))
