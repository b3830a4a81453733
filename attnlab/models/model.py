"""What training, exams, decoding and the microscope ask of a model."""

from functools import reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.core.attention import Memory
from attnlab.core.choosing import choosing
from attnlab.core.interfaces import Choose, Pass, Placement, Selection, Selector, Site
from attnlab.core.readout import Readout
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS, Batch


class Encoded(NamedTuple):
    """A source as a model has read it."""

    memory: Any
    """Whatever its steps need of the source."""
    sites: dict[str, Site]
    """Where reading it took a choice; {} where none was taken."""


class Model(nn.Module):
    """p(target | source) as three functions: encode a source, start on it, take steps.

    `sites` says where the model chooses; it asks there by calling `choose(site, inputs)`. Randomness, for
    dropout, is handed in.
    """

    sites: dict[str, Placement]
    longest: int | None = None
    """The longest source or output that it can read or say, in symbols; None where there is no limit."""
    in_parts = False
    """Whether its passes hold a `Readout`, so that no exam has the logits of all alternatives in memory."""

    def encode(self, source: Int[Tensor, "B S"], choose: Choose, randomness: Randomness) -> Encoded:
        """The source, padded at its end, as something to take steps on."""
        raise NotImplementedError

    def start(self, memory: Any) -> Any:
        """What is carried before the first step."""
        raise NotImplementedError

    def step(
        self,
        previous: Int[Tensor, "B T"],
        state: Any,
        memory: Any,
        choose: Choose,
        randomness: Randomness,
    ) -> tuple[Pass, Any]:
        """Logits of the symbols that follow each previous one, with the sites of these steps, and what to
        carry on. One step at a time must be possible."""
        raise NotImplementedError

    def rows(self, kept: Any, chosen: Int[Tensor, " N"], count: int) -> Any:
        """A memory or a state of the chosen ones of `count` rows, in any order and as often as they are
        named: what beam search goes on with.

        It is made of tensors K B ..., and of `Memory`s, whose tensors may begin with B, in tuples, lists and
        dicts; what else it holds is the same for all rows. Raises ValueError for other tensors.
        """
        if isinstance(kept, Tensor | Memory):
            parts = [kept] if isinstance(kept, Tensor) else kept
            axis = 0 if isinstance(kept, Memory) and kept.keys.ndim == 3 else 1
            for part in parts:
                if part.ndim <= axis or part.size(axis) != count:
                    raise ValueError(
                        f"{type(self).__name__}: memory and state must be tensors K B ... of {count} rows, "
                        f"or a Memory of them, got one of shape {tuple(part.shape)}; what has another form "
                        "needs a method `rows` of its own"
                    )
            found = [part.index_select(axis, chosen) for part in parts]
            return found[0] if isinstance(kept, Tensor) else Memory(*found)
        if isinstance(kept, dict):
            return {name: self.rows(part, chosen, count) for name, part in kept.items()}
        if isinstance(kept, tuple | list):
            found = [self.rows(part, chosen, count) for part in kept]
            return type(kept)(*found) if hasattr(kept, "_fields") else type(kept)(found)
        return kept

    def forward(self, batch: Batch, choose: Choose, randomness: Randomness) -> Pass:
        """Teacher forcing: every step sees the right prefix. A loop over single steps; a model whose steps
        carry no choice on may take all at once."""
        memory, sites = self.encode(batch.source, choose, randomness)
        state, passes = self.start(memory), []
        for previous in shifted(batch.target).split(1, 1):
            taken, state = self.step(previous, state, memory, choose, randomness)
            passes.append(taken)
        return joined(passes, sites)


def shifted(target: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """The symbol before each: BOS, then the target but for its last."""
    return nn.functional.pad(target[:, :-1], (1, 0), value=BOS)


def taken_by(model: Model, batch: Batch, selector: Selector, randomness: Randomness) -> Pass:
    """A pass under teacher forcing that chooses by one selector at every site."""
    informed = selector.informed(batch.source, batch.target)
    return model(batch, choosing(selector, randomness, model.sites, batch.gold, informed), randomness)


def joined(passes: list[Pass], sites: dict[str, Site]) -> Pass:
    """Single steps as one pass, beside the sites of the encoder."""
    found = dict(sites)
    for name, first in passes[0].sites.items():
        parts = [taken.sites[name] for taken in passes]
        fields = zip(*(part.selection for part in parts), _STEP, strict=True)
        selection = Selection(*(_together(tensors, axis) for *tensors, axis in fields))
        query = _together([part.query for part in parts], -2)
        found[name] = first._replace(selection=selection, query=query)
    return Pass(_together([taken.logits for taken in passes], -2), found)


_STEP = Selection(weights=-2, mass=-1, log_prob=-1, probs=-2, cost=-1)  # pyright: ignore[reportArgumentType]
"""Which axis of each field counts the steps."""


def _together(tensors: list[Tensor], axis: int) -> Tensor:
    """Behind one another; what had fewer alternatives had the same in all."""
    most = max(map(len, tensors))
    return torch.cat([tensor.expand(most, *tensor.shape[1:]) for tensor in tensors], axis)


Logits = Float[Tensor, "K B T V"] | Readout


def token_losses(logits: Logits, target: Int[Tensor, "B T"]) -> Float[Tensor, "K B T"]:
    """-log p(target symbol) in nats, for every alternative."""
    if isinstance(logits, Readout):
        return logits.of_each(lambda part: token_losses(part, target))
    repeated = target.expand(logits.shape[:-1])
    losses = nn.functional.cross_entropy(logits.flatten(0, -2), repeated.flatten(), reduction="none")
    return losses.view(logits.shape[:-1])


def predict(logits: Logits, mass: Float[Tensor, "#K B #T"]) -> Float[Tensor, "B T V"]:
    """log sum_K mass * softmax(logits): log-probabilities of the next symbol, mixed over alternatives."""
    if isinstance(logits, Readout):
        return reduce(torch.logaddexp, logits.each(predict, mass))
    return torch.logsumexp(mass.log()[..., None] + logits.log_softmax(-1), 0)
