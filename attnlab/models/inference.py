"""An inference network: where a step attended, inferred from the source and the whole target."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.core.interfaces import Placement
from attnlab.models.encoder import Encoder
from attnlab.tasks.batch import PAD

Informed = Mapping[str, Float[Tensor, "1 B *H T S"]]


class Inference(nn.Module):
    """scores(t, s) = g_t . U h_s / sqrt(width), with h and g the states of an LSTM in both directions over
    the source and over the target, and a U for each site and head. Deng et al. 2018 (1807.03756)."""

    def __init__(self, source_symbols: int, target_symbols: int, sites: Mapping[str, Placement], size: int):
        super().__init__()
        self.source = Encoder(nn.LSTM, source_symbols, size, size, layers=1, dropout=0.0)
        self.target = Encoder(nn.LSTM, target_symbols, size, size, layers=1, dropout=0.0)
        self.heads = {name: place.heads for name, place in sites.items()}
        width = 2 * size
        self.maps = nn.ModuleList(nn.Linear(width, n * width, bias=False) for n in self.heads.values())

    def forward(self, source: Int[Tensor, "B S"], target: Int[Tensor, "B T"]) -> Informed:
        """Scores of every site by its name, with an axis of heads where there are several."""
        keys = self.source(source, source != PAD, None)
        queries = self.target(target, target != PAD, None) * keys.size(-1) ** -0.5
        found = {}
        for (name, heads), map_ in zip(self.heads.items(), self.maps, strict=True):
            each = map_(keys).unflatten(-1, (heads, -1)).transpose(1, 2)  # B H S D
            scores = torch.einsum("btd,bhsd->bhts", queries, each)
            found[name] = (scores if heads > 1 else scores.squeeze(1))[None]
        return found


def inference_for(
    sites: Mapping[str, Placement], source_symbols: int, target_symbols: int
) -> Callable[[int], Inference]:
    """What makes the inference network of a model's sites at a given width.

    It raises ValueError where a site does not choose a position of the source for each symbol of the target.
    """

    def make(size: int) -> Inference:
        if others := [name for name, place in sites.items() if not place.aligned]:
            raise ValueError(
                "variational attention infers which position of the source each symbol of the target came "
                f"from, and {', '.join(others)} does not choose that; model.choose=last or cross does"
            )
        return Inference(source_symbols, target_symbols, sites, size)

    return make
