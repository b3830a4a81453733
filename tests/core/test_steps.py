"""T target steps at once are T single steps, for every mechanism and every rule that reads it."""

import contextlib
import itertools
from collections.abc import Iterator

import pytest
import torch
from enumeration import GOLD, Variant, variants
from torch import Tensor

from attnlab.building import assemble
from attnlab.config.composing import compose
from attnlab.core.distributions import Softmax
from attnlab.core.evaluation import FOLLOWS, RULES
from attnlab.core.interfaces import AttentionInput, Categorical, Distribution, Selection, Selector
from attnlab.core.selectors import Mixture
from attnlab.models.decoding import greedy
from attnlab.models.model import taken_by
from attnlab.randomness import Randomness
from attnlab.tasks.batch import BOS
from attnlab.training.answers import alignment

T, S = 4, 5


def alone(inputs: AttentionInput, step: int) -> AttentionInput:
    """What is asked at one of the steps."""
    at = slice(step, step + 1)
    mask, gold = (x if x.size(-2) == 1 else x[..., at, :] for x in (inputs.mask, inputs.gold))
    return AttentionInput(inputs.scores[..., at, :], mask, gold, inputs.step[at])


@contextlib.contextmanager
def given_noise(steps: Tensor) -> Iterator[None]:
    """Whatever draws within gets noise that depends on the step and on how many asked for some before."""
    calls = itertools.count()

    def given(self: Randomness, like: Tensor) -> Tensor:
        seeded = torch.Generator().manual_seed(next(calls))
        noise = torch.empty(*like.shape[:-2], T, like.size(-1), dtype=like.dtype)
        return noise.exponential_(generator=seeded)[..., steps, :]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Randomness, "noise", given)
        yield


def agree(selector: Selector, inputs: AttentionInput) -> None:
    """Hold a selector to its own choices for one step at a time, with the same noise."""

    def choose(asked: AttentionInput) -> Selection:
        with given_noise(asked.step):
            return selector(asked, Randomness(torch.Generator()))

    together = choose(inputs)
    for step in range(inputs.scores.size(-2)):
        single = choose(alone(inputs, step))
        for name, whole, part in zip(Selection._fields, together, single, strict=True):
            axis = whole.ndim - 2 if name in ("weights", "probs") else whole.ndim - 1
            here = whole if whole.size(axis) == 1 else whole.narrow(axis, step, 1)
            torch.testing.assert_close(here, part.expand_as(here), msg=f"{name} of step {step} differs alone")


def asked() -> AttentionInput:
    """Rows fully open, half masked, and of a single position."""
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)[:, None]
    scores = torch.randn(3, T, S, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return AttentionInput(
        scores.masked_fill(~mask, -torch.inf)[None], mask[None], GOLD[None], torch.arange(T)
    )


@pytest.mark.parametrize("variant", variants((1, 2)), ids=str)
def test_steps_at_once_are_the_steps_one_by_one(variant: Variant) -> None:
    mechanism = variant.build()
    for rule in {**RULES, **FOLLOWS}.values():
        agree(rule(mechanism.distribution), asked())
    agree(mechanism.selector, asked())


class Window(Distribution):
    """softmax over the positions at most one away from the target step."""

    def __init__(self, honest: bool = True):
        super().__init__()
        self.honest, self.all = honest, Softmax(1.0)

    def forward(self, inputs: AttentionInput) -> Categorical:
        step = inputs.step if self.honest else torch.arange(inputs.scores.size(-2))
        near = (torch.arange(inputs.scores.size(-1)) - step[:, None]).abs() <= 1
        near = torch.where((near & inputs.mask).any(-1, keepdim=True), near, True)
        return self.all(inputs._replace(scores=inputs.scores.masked_fill(~near, -torch.inf)))


def test_a_mechanism_that_counts_the_steps_itself_is_found_out() -> None:
    agree(Mixture(Window()), asked())
    with pytest.raises(AssertionError, match="of step 1 differs alone"):
        agree(Mixture(Window(honest=False)), asked())


def test_a_window_around_the_step_is_the_same_teacher_forced_and_free_running() -> None:
    """What is generated, taken as the target, is what the model finds most probable at every step."""
    built = assemble(compose(["model.hidden_size=6", "model.embedding_size=5", "batch_size=9"]).tree)
    batch, rule = built.task.train(0), Mixture(Window())
    symbols = greedy(built.model, batch, rule, 6)
    forced = batch._replace(target=symbols, gold=batch.gold[:, :1] & False)
    output = taken_by(built.model, forced, rule, Randomness(torch.Generator()))
    best: Tensor = output.logits[0].index_fill(-1, torch.tensor([0, BOS, 3]), -torch.inf).argmax(-1)
    assert torch.equal(best[symbols != 0], symbols[symbols != 0]) and symbols.size(1) == 6
    probs = alignment(built.model, forced, output)[0]
    assert (probs[:, 4, :2] == 0).all() and (probs[:, 0, 2:] == 0).all()
