"""Where a choice reaches on, or depends on the step before, mechanisms are held to every path of choices."""

import itertools
from typing import Any

import jaxtyping
import pytest
import torch
from enumeration import along_paths
from torch import Tensor

import attnlab
from attnlab.certification import mechanisms
from attnlab.certification.mechanisms import subject_of
from attnlab.certification.subject import Subject
from attnlab.microscope.gradients import mechanism_of

PAIR: dict[str, Any] = {"samples": 2}
ALONE: dict[str, Any] = {"samples": 1, "baseline": "none"}


def subject(name: str, reach: Any = "step", **settings: Any) -> Subject:
    said = [f"attention.{key}={value}" for key, value in settings.items()]
    return subject_of([f"attention={name}", *said], name, 0, reach)


def assert_held_to(subject: Subject, objective: str, total: Tensor, scores: Tensor, values: Tensor) -> None:
    """The gradient of a total in all scores and values is the one that the subject is held to."""
    slope, behind = torch.autograd.grad(total, (scores, values))
    truth = subject.truth(subject.problems[0], objective)
    assert slope.norm() > 0.1 and behind.norm() > 0.1
    torch.testing.assert_close(truth.slope, slope.flatten(0, 1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(truth.behind, behind.flatten(0, 1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reach", ["later", "all"])
@pytest.mark.parametrize("objective", ["expected", "marginal"])
def test_what_choices_that_reach_on_are_held_to_is_a_plain_loop(reach: str, objective: str) -> None:
    """In a loss stands half of what was read at the steps that reach it."""
    made = subject("hard_reinforce", reach, **PAIR)
    (problem,) = made.problems
    scores, values = (x.clone().requires_grad_() for x in (problem.scores, problem.values))
    shares, total = scores.softmax(-1), torch.zeros((), dtype=torch.float64)
    for b in range(3):
        mean = torch.zeros((), dtype=torch.float64)
        for first, second in itertools.product(range(3), repeat=2):
            one, two = values[b, 0, first], values[b, 1, second]
            reads = (one + two / 2 if reach == "all" else one), two + one / 2
            paid = -torch.stack(reads).log_softmax(-1)[:, 0].sum()
            mean = mean + shares[b, 0, first] * shares[b, 1, second] * (
                paid if objective == "expected" else torch.exp(-torch.as_tensor(paid))
            )
        total = total + (mean if objective == "expected" else -mean.log())
    assert_held_to(made, objective, total, scores, values)


@pytest.mark.parametrize("monotonic", [False, True])
def test_what_a_chain_is_held_to_is_a_plain_loop_over_its_jumps(
    monotonic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanism: Any = mechanism_of(
        ["attention=hard_chain", f"attention.monotonic={monotonic}", "attention.beta=1.5"]
    )
    monkeypatch.setattr(mechanisms, "mechanism_of", lambda overrides: mechanism)
    made = subject("hard_chain")
    (problem,) = made.problems
    scores, values = (x.clone().requires_grad_() for x in (problem.scores, problem.values))
    assert mechanism.distribution.jumps.weights.abs().min() > 0
    each = torch.stack([-values[:, :3, s].log_softmax(-1)[..., 0] for s in range(4)])
    by_step = along_paths(mechanism, each, (1.5 * scores[:, :3]).softmax(-1))
    assert_held_to(made, "marginal", by_step.sum(), scores, values)


@pytest.mark.parametrize("settings", [pytest.param(PAIR, marks=pytest.mark.slow), ALONE], ids=str)
@pytest.mark.parametrize("reach", ["later", "all"])
def test_returns_by_the_reach_are_exact(settings: Any, reach: Any) -> None:
    assert attnlab.certify("hard_reinforce", reach=reach, **settings).verdict == "exact"


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["self_critical", "soft", "learned", "moving_average"])
def test_every_baseline_is_exact_where_choices_reach_on(baseline: str) -> None:
    assert attnlab.certify("hard_reinforce", reach="later", baseline=baseline, **PAIR).verdict == "exact"


@pytest.mark.parametrize(
    ("name", "settings", "verdict"),
    [
        ("soft", {}, "exact"),
        ("sigmoid", {}, "exact"),
        ("variational", ALONE, "exact"),
        ("hard_straight_through", {}, "biased"),
        ("hard_reinforce", {"credit": "step", **ALONE}, "biased"),
        ("hard_reinforce", {"credit": "all", **ALONE}, "exact"),
    ],
)
def test_what_is_right_step_by_step_may_be_wrong_where_choices_reach_on(
    name: str, settings: Any, verdict: str
) -> None:
    assert attnlab.certify(name, reach="later", **settings).verdict == verdict


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("hard_exact", {"reach": "later"}, "hard_exact tries positions step by step"),
        ("hard_chain", {"reach": "all"}, "hard_chain tries positions step by step"),
        ("gumbel_straight_through", {"reach": "later"}, "enumerated or not at all, and its noise is cont"),
    ],
)
def test_what_cannot_reach_on_is_told_in_one_sentence(name: str, settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as found:
        attnlab.certify(name, **settings)
    assert "\n" not in str(found.value)


def test_a_reach_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="reach is one of step, later, all, got 'latr'"):
        attnlab.certify("soft", reach="latr")  # pyright: ignore[reportArgumentType]


def test_a_function_has_no_reach() -> None:
    with pytest.raises(ValueError, match="only a mechanism has settings and a reach, got reach"):
        attnlab.certify(lambda rewards: rewards, reach="later")
