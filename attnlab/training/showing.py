"""Examples as a person sees them: what each symbol reads, and what the model says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Pass, Placement, Selector, Site
from attnlab.core.selectors import Argmax, Enumeration, Mixture
from attnlab.models.decoding import greedy
from attnlab.models.model import Model, shifted
from attnlab.tasks.batch import EOS, PAD, Batch
from attnlab.tasks.names import Names
from attnlab.training.answers import read
from attnlab.training.pictures import Map

_READ: dict[type[Selector], str] = {
    Mixture: "read as a mixture",
    Argmax: "read at the most probable position",
    Enumeration: "read at every position",
}


def read_as(rule: Selector) -> str:
    """What an evaluation rule does, in the words of a caption."""
    return _READ.get(type(rule), f"read by {type(rule).__name__}")


def alone(batch: Batch, row: int) -> Batch:
    """One example of a batch, without padding."""
    return Batch(*(part[row : row + 1] for part in batch)).trimmed()


def maps(
    sites: Mapping[str, Placement], taken: Pass, batch: Batch, names: Names
) -> Iterator[tuple[str, Map]]:
    """The map of each site, of the only example of a batch."""
    source = _called(batch.source[0].tolist(), names.source)
    target = _called(batch.target[0].tolist(), names.target)
    before = _called(shifted(batch.target)[0].tolist(), names.target)
    for name, site in taken.sites.items():
        weights = heads(site)
        gold = batch.gold[0].expand(weights.shape[1:]) if sites[name].aligned else _none(weights)
        down, across = (target, source) if sites[name].aligned else (target, before)
        if sites[name].reach == "all":
            down, across = source, source
        yield name, Map(weights, gold.cpu(), down, across)


def heads(site: Site) -> Float[Tensor, "H T S"]:
    """The distributions of a site's heads, of the only example of a batch."""
    probs = site.selection.probs[0, 0]
    return (probs if probs.ndim == 3 else probs[None]).float().cpu()


def _none(weights: Tensor) -> Bool[Tensor, "T S"]:
    return torch.zeros(weights.shape[1:], dtype=torch.bool)


class Answer(NamedTuple):
    """An example with what a model said to it, by the names of the symbols."""

    source: list[str]
    target: list[str]
    said: list[str]
    looked_at: list[int]  # for each symbol said the place in the source, from 1; [] where no site looks there

    @property
    def right(self) -> bool:
        """Whether what was said is the target."""
        return self.said == self.target


def answer(model: Model, batch: Batch, rule: Selector, limit: int, names: Names) -> Answer:
    """What a model says to the only example of a batch, and where it looks: of several sites and heads, where
    they do in the mean."""
    guess = greedy(model, batch, rule, limit)
    source, target, said = (_symbols(part) for part in (batch.source, batch.target, guess))
    looked = read(model, batch._replace(target=guess, gold=batch.gold[:, :1] & False), rule)
    aligned = [heads(looked.sites[name]) for name, place in model.sites.items() if place.aligned]
    places = torch.cat(aligned).mean(0).argmax(-1)[: len(said)].tolist() if aligned else []
    return Answer(
        _called(source, names.source),
        _called(target, names.target),
        _called(said, names.target),
        [place + 1 for place in places],
    )


def _called(symbols: Iterable[int], names: Sequence[str]) -> list[str]:
    return [names[symbol] for symbol in symbols]


def _symbols(row: Tensor) -> list[int]:
    return [symbol for symbol in row[0].tolist() if symbol not in (PAD, EOS)]
