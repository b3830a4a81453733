"""An encoder-decoder Transformer in which any attention may choose by the mechanism; the others are soft."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from attnlab.core.interfaces import Choose, Pass, Placement, Reach, Site
from attnlab.models.heads import Heads, Pair, Side, Split, States, turned
from attnlab.models.model import Encoded, Model, shifted
from attnlab.models.recurrent import Make
from attnlab.randomness import Randomness, dropout, part
from attnlab.settings import Layers, Length, Positions, Probability, Size
from attnlab.tasks.batch import PAD, Batch


class _Source(NamedTuple):
    """A source as each decoder layer attends to it."""

    pairs: list[Pair]  # keys and values
    mask: Bool[Tensor, "1 B 1 S"]


class _Said(NamedTuple):
    """Keys and values of the steps so far, for each decoder layer; none at the start."""

    pairs: list[Pair]
    taken: int


class Transformer(Model):
    """Its parts, as gradient norms name them: encoder, attention (those that choose), decoder.

    x + self(norm x), then x + cross(norm x) in the decoder, then x + feed(norm x). A choice of the last
    decoder layer reaches its own step; one below, all later ones too, through the self-attention above it;
    one of the encoder, the whole row. Vaswani et al. 2017 (1706.03762), norms as Xiong et al. 2020
    (2002.04745).
    """

    def __init__(
        self,
        source_symbols: int,
        target_symbols: int,
        attention: Make,
        chosen: Sequence[str],
        width: int,
        heads: int,
        layers: int,
        rate: float,
        table: int,
    ):
        super().__init__()
        self.layers, self.rate, self.turned = layers, rate, not table
        self.longest = table or None
        self.sites = {
            name: Placement(width, _reach(name, layers), heads, aligned=name.endswith("cross"))
            for name in chosen
        }

        def soft(names: Sequence[str]) -> dict[str, Heads]:
            return {_key(name): Heads(width, heads) for name in names if name not in chosen}

        with part():
            names = _names("encoder", layers)
            self.encoder = Side(source_symbols, width, table, layers, 2, soft(names))
        with part():
            choosing = {_key(name): Heads(width, heads, attention(width // heads, None)) for name in chosen}
            self.attention = nn.ModuleDict(choosing)
        with part():
            names = _names("decoder", layers)
            self.decoder = Side(target_symbols, width, table, layers, 3, soft(names))
            self.decoder.output = nn.Linear(width, target_symbols)

    def encode(self, source: Int[Tensor, "B S"], choose: Choose, randomness: Randomness) -> Encoded:
        mask = (source != PAD)[:, None]
        x, sites = self.encoder.embed(source, 0), {}
        for layer in range(self.layers):
            name = f"encoder.{layer}.self"
            y, heads = self._norm(self.encoder, layer, 0, x), self._heads(self.encoder, name)
            query, keys, values = self._projected(heads, y, 0)
            read, selection = heads.read(query, keys, values, mask, choose, name, 0)
            if selection is not None:
                sites[name] = Site(selection, y, "all", mask[:, 0])
            x = self._on(self.encoder, layer, x, read, randomness)
        x = self.encoder.last(x)
        pairs = []
        for layer in range(self.layers):
            heads = self._heads(self.decoder, f"decoder.{layer}.cross")
            pairs.append((heads.split(heads.key(x)), heads.split(heads.value(x))))
        return Encoded(_Source(pairs, mask[None]), sites)

    def start(self, memory: _Source) -> _Said:
        return _Said([], 0)

    def step(
        self,
        previous: Int[Tensor, "B T"],
        state: _Said,
        memory: _Source,
        choose: Choose,
        randomness: Randomness,
    ) -> tuple[Pass, _Said]:
        first, number = state.taken, previous.size(1)
        steps = torch.arange(first + number, device=previous.device)
        causal = (steps <= steps[first:, None])[None].expand(len(previous), -1, -1)  # B T (first + T)
        x, sites, pairs = self.decoder.embed(previous, first), {}, []

        def asked(name: str, x: States, query: Split, pair: Pair, mask: Tensor) -> States:
            heads = self._heads(self.decoder, name)
            read, selection = heads.read(query, *pair, mask, choose, name, first)
            if selection is not None:
                sites[name] = Site(selection, x, self.sites[name].reach)
            return read

        for layer in range(self.layers):
            name = f"decoder.{layer}.self"
            y = self._norm(self.decoder, layer, 0, x)
            query, *pair = self._projected(self._heads(self.decoder, name), y, first)
            if state.pairs:
                pair = [torch.cat(_alike(both), -2) for both in zip(state.pairs[layer], pair, strict=True)]
            pairs.append((pair[0], pair[1]))
            x = x + self._dropped(asked(name, y, query, pairs[-1], causal), randomness)
            name = f"decoder.{layer}.cross"
            y, heads = self._norm(self.decoder, layer, 1, x), self._heads(self.decoder, name)
            read = asked(name, y, heads.split(heads.query(y)), memory.pairs[layer], memory.mask[0])
            x = self._on(self.decoder, layer, x, read, randomness)
        logits = self.decoder.output(self.decoder.last(x))
        return Pass(logits, sites), _Said(pairs, first + number)

    def forward(self, batch: Batch, choose: Choose, randomness: Randomness) -> Pass:
        """Teacher forcing, all steps at once: what a step chooses is seen by later ones alone."""
        memory, sites = self.encode(batch.source, choose, randomness)
        taken, _ = self.step(shifted(batch.target), self.start(memory), memory, choose, randomness)
        return taken._replace(sites=sites | dict(taken.sites))

    def _heads(self, side: Side, name: str) -> Heads:
        found = self.attention[_key(name)] if name in self.sites else side.soft[_key(name)]
        assert isinstance(found, Heads)
        return found

    def _norm(self, side: Side, layer: int, number: int, x: States) -> States:
        norms: Any = side.norms[layer]
        return norms[number](x)

    def _projected(self, heads: Heads, x: States, first: int) -> tuple[Split, Split, Split]:
        """Queries, keys and values of self-attention, the first two turned by their positions where these are
        rotary."""
        query, keys, values = (heads.split(part(x)) for part in (heads.query, heads.key, heads.value))
        return (turned(query, first), turned(keys, first), values) if self.turned else (query, keys, values)

    def _on(self, side: Side, layer: int, x: States, read: States, randomness: Randomness) -> States:
        """A layer's states with what was read, then with what its last part makes of them."""
        x = x + self._dropped(read, randomness)
        feed: Any = side.feeds[layer]
        return x + self._dropped(feed(self._norm(side, layer, -1, x)), randomness)

    def _dropped(self, x: States, randomness: Randomness) -> States:
        return dropout(x, self.rate if self.training else 0.0, randomness.generator)


def transformer(
    source_symbols: int,
    target_symbols: int,
    attention: Make,
    *,
    hidden_size: Size,
    heads: Size,
    layers: Layers,
    dropout: Probability,
    positions: Positions,
    longest: Length,
    choose: str | list[str],
) -> Transformer:
    """An encoder-decoder Transformer (Vaswani et al. 2017) whose attentions named by `choose` follow the
    mechanism.

    Raises ValueError for a width that heads cannot share, and for a name of no attention.
    """
    if hidden_size % (heads * (2 if positions == "rotary" else 1)):
        told = f"of {heads} heads, each of an even width" if positions == "rotary" else f"of {heads} heads"
        raise ValueError(f"model.hidden_size must be the width {told}, got {hidden_size}")
    chosen, table = chosen_by(choose, layers), longest if positions == "learned" else 0
    sizes = hidden_size, heads, layers, dropout, table
    return Transformer(source_symbols, target_symbols, attention, chosen, *sizes)


def chosen_by(words: str | Sequence[str], layers: int) -> list[str]:
    """The attentions that some words name, in the order of a pass. Raises ValueError."""
    encoder, decoder = _names("encoder", layers), _names("decoder", layers)
    cross = [name for name in decoder if name.endswith("cross")]
    groups = {"last": cross[-1:], "cross": cross, "self": [name for name in decoder if name not in cross]}
    groups |= {"encoder": encoder, "all": [*encoder, *decoder]}
    found = []
    for word in [words] if isinstance(words, str) else words:
        if word not in groups and word not in groups["all"]:
            known = ", ".join([*groups, *groups["all"]])
            raise ValueError(f"model.choose must be one or a list of {known}, got {word!r}")
        found += groups.get(word, [word])
    if not found:
        raise ValueError("model.choose must name an attention, got none")
    return [name for name in groups["all"] if name in found]


def _names(side: str, layers: int) -> list[str]:
    kinds = ("self",) if side == "encoder" else ("self", "cross")
    return [f"{side}.{layer}.{kind}" for layer in range(layers) for kind in kinds]


def _reach(name: str, layers: int) -> Reach:
    side, layer, _ = name.split(".")
    if side == "encoder":
        return "all"
    return "step" if int(layer) == layers - 1 else "later"


def _key(name: str) -> str:
    """A name as a module may have it."""
    return name.replace(".", "_")


def _alike(pair: Sequence[Tensor]) -> list[Tensor]:
    """With as many alternatives in both."""
    most = max(map(len, pair))
    return [x.expand(most, *x.shape[1:]) for x in pair]
