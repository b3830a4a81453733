"""Wrong estimators are told by the microscope on the weights of a model: every mistake of the mutation suite
that moves a mean gradient is seen as a bias, where the right one is seen to have none."""

from typing import Any, NamedTuple

import pytest
import torch
from planting import plant
from test_live import probe
from test_mutations import MUTANTS, set_of_one
from torch import nn

from attnlab.core.interfaces import Mechanism
from attnlab.microscope import live
from attnlab.microscope.callback import applicable
from attnlab.microscope.live import PASSES, compared
from attnlab.microscope.moments import Moments

ONE, TWO, FOUR, AVERAGE = (
    f"hard_reinforce {words}"
    for words in ("baseline=none samples=1", "samples=2", "samples=4", "baseline=moving_average samples=1")
)
PADDED = ["task.shortest=1", "task.longest=5", "batch_size=4"]
RECURRENT = [*PADDED, *(f"model.{part}_size=5" for part in ("hidden", "embedding", "readout"))]
SHORT = ["task.shortest=2", "task.longest=2", *RECURRENT[2:]]
FEEDING = [*RECURRENT, "model.input_feeding=true"]
TRANSFORMER = [*PADDED, "model=transformer", "model.hidden_size=6", "model.heads=2"]
LAYERS = [*TRANSFORMER, "model.layers=2", "model.choose=cross"]
ENCODER = [*TRANSFORMER, "model.layers=1", "model.choose=[encoder.0.self]"]


class Look(NamedTuple):
    """Where a mistake is looked for: a mechanism, a model, and how many estimates tell it from noise."""

    words: str
    model: list[str] = RECURRENT
    draws: int = 256
    passes: int = PASSES


MOVED: dict[str, Look] = {
    "the sign of REINFORCE is inverted": Look(FOUR),
    "the log-probability of a step meets the loss of another": Look(FOUR),
    "the return of a step meets the log-probability of another": Look(FOUR),
    "the reward is not detached": Look(ONE),
    "a baseline contains its own sample": Look(TWO),
    "leave-one-out leaves nothing out": Look(TWO),
    "a moving average takes in the returns before it is subtracted": Look(AVERAGE, SHORT, 512, passes=512),
    "an estimator updates its baseline before it asks": Look(AVERAGE, SHORT, 512, passes=512),
    "the argmax is taken for a sample": Look(FOUR),
    "the best members are taken for a set that is drawn": Look("unordered_set samples=2"),
    "all alternatives share their noise": Look(TWO),
    "a relaxed draw is differentiated through its noise given the draw": Look("rebar"),
    "the conditional draw of REBAR carries no gradient": Look("rebar"),
    "a set's baseline drops the member's own share": Look("unordered_set samples=2"),
    "a set's baseline uses ratios of first order for those of second": Look("unordered_set samples=2"),
    "a set of one is its own baseline": Look("unordered_set samples=1", draws=2**13),
    "the drawn position counts one over the number outside": Look("sum_and_sample samples=2"),
    "VIMCO keeps the own term, and its signal is zero": Look("vimco samples=2"),
    "the marginal likelihood has no prior": Look("hard_marginal"),
    "a chain forgets what was said": Look("hard_chain"),
    "a chain is told the symbol that it has yet to say": Look("hard_chain"),
    "a chain goes from where it arrives": Look("hard_chain"),
    "a monotonic chain loses the probability of going back": Look("hard_chain monotonic=true"),
    "a step of padding counts": Look("soft"),
    "a choice that reaches on is paid for its own step alone": Look(FOUR, FEEDING, 2**12),
    "a choice is paid for what came before it": Look(FOUR, FEEDING, 2**12),
    "a choice that reaches on is paid for padding": Look(FOUR, FEEDING, 2**13),
    "a choice of the encoder is paid for the first step": Look(FOUR, ENCODER, 1024),
    "one of several heads is credited": Look(FOUR, LAYERS, 1024),
    "one of two sites is credited": Look(FOUR, LAYERS, 1024),
    "a baseline contains its own rollout": Look(TWO, FEEDING),
    "all rollouts take one way": Look(TWO),
    "a polynomial is read from its lowest power": Look("adaptive_temperature"),
    "the number of positions counts padding": Look("log_length"),
    "a bias counts padding": Look("sigmoid bias=true"),
    "a threshold has no gradient": Look("entmax_alpha"),
    "the mask comes after the softmax": Look("soft"),
    "the mask is too small a number": Look("soft"),
}
UNSEEN = {
    "the probability of a set is an integral over 1,000 points": "of quadrature, far below the noise",
    "training updates a baseline before the surrogate": "the microscope runs no training step",
    "all rows of a batch share their noise": "dependent rows: the mean is right",
    "all steps share their noise": "dependent steps: the mean is right",
    "hard weights are one-hot up to rounding": "rounding",
    "a figure is a mean over padding": "figures of an exam",
    "a figure is a mean of means over batches": "figures of an exam",
    "a schedule gets lost on its way to the trainer": "a learning rate",
    "the identity of a run leaves a setting out": "the name of a run",
}


def test_every_mistake_is_looked_for_or_has_a_reason_not_to_be() -> None:
    assert MOVED.keys() | UNSEEN.keys() == MUTANTS.keys() and not MOVED.keys() & UNSEEN.keys()


def mechanism_of(made: Any, words: str) -> Mechanism:
    """Of words; what it learns is drawn, as it would be learned."""
    ((_, mechanism),) = applicable(made.model, [words], None, 0)
    for parameter in mechanism.selector.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return mechanism


AT_ONCE = {
    "the sign of REINFORCE is inverted",
    "a baseline contains its own sample",
    "VIMCO keeps the own term, and its signal is zero",
    "the mask comes after the softmax",
}


TRIED = [pytest.param(name, marks=[] if name in AT_ONCE else pytest.mark.slow) for name in MOVED]


@pytest.mark.parametrize("name", TRIED)
def test_a_mistake_is_seen_as_a_bias_where_the_right_estimator_has_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (words, model, draws, passes), mutant = MOVED[name], MUTANTS[name]
    monkeypatch.setattr(live, "PASSES", passes)
    made, seen = probe(sizes=model, examples=1 if passes == draws else 4)
    right = mechanism_of(made, words if mutant.mistake is not set_of_one else "unordered_set")
    held = seen.reference(right, 4 * draws, 0)
    assert held is not None

    def look(mechanism: Mechanism) -> dict[str, Moments]:
        found = seen.estimates(mechanism, draws, 0)
        same = {place for place, rows in found.at.items() if rows.size(1) == held.mean[place].numel()}
        return compared(held, found._replace(at={place: found.at[place] for place in same}))

    none = look(right)
    record = plant(monkeypatch, mutant.owner, mutant.name, mutant.mistake)
    told = look(mechanism_of(made, words))
    assert not any(one.relative_bias for one in none.values())
    assert any(one.relative_bias > 0 for one in told.values())
    assert record.calls == record.finished > 0 and record.differed > 0 and record.nan == 0
