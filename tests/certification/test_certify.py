"""Verdicts on estimators that are known to be right or wrong, and evidence computed in another way."""

import itertools
import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

import attnlab
from attnlab.certification import (
    Certificate,
    answers,
    by_outcomes,
    by_samples,
    functions,
    measuring,
    published,
)
from attnlab.certification.estimands import by_differences, of_answers, of_choice
from attnlab.certification.outcomes import NotEnumerable
from attnlab.certification.problems import answer_problems, choice_problems, loss_of
from attnlab.certification.sequential import settle

KNOWN = answers([0, 0.5, 1, 1.5], rewards=[1, 0.7, 0.2, 0], lengths=[1, 1, 2, 4], size=4)


@pytest.mark.parametrize(
    ("estimator", "scale", "cosine"),
    [
        (published.leave_one_out, 1.000, 1),
        (published.group_centred, 0.750, 1),
        (published.group_normalised, 2.126, 0.9704),
        (published.length_weighted_baseline, 0.819, 0.9983),
        (published.nonzero_count_normalised, 1.561, 0.9924),
        (published.batch_whitened, 3.038, 0.9795),
    ],
)
def test_answers_that_others_enumerated_are_found_to_their_last_digit(
    estimator: Callable[..., Tensor], scale: float, cosine: float
) -> None:
    found = attnlab.certify(estimator, problems=[KNOWN])
    assert found.how.endswith("256 outcomes")
    assert round(found.scale, 3) == scale and round(found.cosine, 4) == cosine


VERDICTS = {
    "reward_alone": "exact",
    "leave_one_out": "exact",
    "greedy_baseline": "exact",
    "group_centred": "scaled",
    "group_normalised": "biased",
    "group_normalised_per_token": "biased",
    "length_weighted_baseline": "biased",
    "batch_whitened": "depends on the batch",
    "nonzero_count_normalised": "depends on the batch",
    "leave_one_out_normalised": "biased",
    "penalty_in_the_reward": "biased",
    "penalty_with_its_gradient": "biased",
    "score_function": "exact",
    "loss_with_its_gradient": "biased",
    "in_sample_baseline": "scaled",
    "argmax_for_a_draw": "biased",
    "drawn_from_the_reference": "variance unbounded",
    "k1": "no gradient",
    "k2": "exact",
    "k3": "biased",
    "straight_through": "biased",
    "dense_forward": "biased",
    "frozen_selector": "no gradient",
    "gated_top_one": "biased",
    "top_two": "biased",
}
SLOW = {name for name in VERDICTS if list(VERDICTS).index(name) < list(VERDICTS).index("score_function")}


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.slow] if x in SLOW else []) for x in VERDICTS]
)
@pytest.mark.parametrize("seed", [0, *(pytest.param(x, marks=pytest.mark.slow) for x in (1, 2))])
def test_every_published_estimator_has_its_verdict(name: str, seed: int) -> None:
    assert set(VERDICTS) == {estimator.__name__ for estimator in published.ESTIMATORS}
    assert attnlab.certify(getattr(published, name), seed=seed).verdict == VERDICTS[name]


def test_what_an_estimator_follows_in_place_of_its_estimand_is_said() -> None:
    def follows(name: str) -> str:
        return "; ".join(attnlab.certify(getattr(published, name)).follows)

    assert "forward_kl: KL(reference || softmax(scores)), exactly" in follows("k3")
    assert "soft: " in follows("dense_forward") and "forward: " in follows("dense_forward")
    assert "forward: " in follows("top_two") and "soft: " not in follows("top_two")
    assert follows("argmax_for_a_draw") == ""
    assert attnlab.certify(published.top_two, objective="forward").verdict == "exact"


def test_advice_names_a_wrong_sign_and_what_is_followed_instead() -> None:
    def upwards(scores: Tensor, draw: Any) -> Tensor:
        return -published.score_function(scores, draw)

    assert "the sign is wrong" in attnlab.certify(upwards).advice
    soft = attnlab.certify(lambda scores, draw: draw.loss(scores.softmax(-1)))
    assert soft.advice.startswith("it is the gradient of soft instead")


def test_a_bonus_of_entropy_is_a_sum_of_two_estimands() -> None:
    def bonus(scores: Tensor, draw: Any) -> Tensor:
        entropy = -(scores.softmax(-1) * scores.log_softmax(-1)).sum()
        return published.score_function(scores, draw) - entropy / 8

    (sum_,) = attnlab.certify(bonus).follows
    assert sum_.startswith("1 expected -0.125 entropy")

    def advantage(rewards: Tensor, log_probs: Tensor) -> Tensor:
        return rewards - log_probs.detach() / 8

    pairs = [problem._replace(size=2) for problem in answer_problems(0)[1:]]
    (sum_,) = attnlab.certify(advantage, problems=pairs).follows
    assert sum_.startswith("1 expected +0.125 entropy")


def test_a_loss_that_is_asked_for_twice_is_paid_once() -> None:
    def twice(scores: Tensor, draw: Any) -> Tensor:
        positions = draw(scores.softmax(-1), 2)
        first = draw.loss(positions)
        assert draw.loss(positions) is first
        positions += 0
        return (draw.loss(positions).detach() * scores.log_softmax(-1)[positions]).mean()

    assert attnlab.certify(twice).cost == 4


def test_a_module_is_known_by_its_forward() -> None:
    class Module(torch.nn.Module):
        def forward(self, scores: Tensor, draw: Any) -> Tensor:
            return published.score_function(scores, draw)

    found = attnlab.certify(Module())
    assert found.verdict == "exact" and found.name.endswith("Module")


def test_a_penalty_in_the_reward_is_a_sum_of_two_estimands() -> None:
    problems = answer_problems(3)[:1] + answer_problems(4)[:1]
    (sum_,) = attnlab.certify(published.penalty_in_the_reward, problems=problems).follows
    assert sum_.startswith("1 expected -0.1 reverse_kl")


# --- right and wrong estimators that are not in the table ---


def two_draws(scores: Tensor, draw: Any) -> Tensor:
    positions = draw(scores.softmax(-1), 2)
    losses = draw.loss(positions)
    pushed = (losses - losses.flip(0)).detach() * scores.log_softmax(-1)[positions]
    return (losses + pushed).mean()


def inverted(scores: Tensor, draw: Any) -> Tensor:
    position = draw(scores.softmax(-1))
    return -draw.loss(position).detach() * scores.log_softmax(-1)[position]


def enumerated(scores: Tensor, draw: Any) -> Tensor:
    return scores.softmax(-1) @ draw.loss(torch.arange(len(scores)))


def marginal(scores: Tensor, draw: Any) -> Tensor:
    return -torch.logsumexp(scores.log_softmax(-1) - draw.loss(torch.eye(len(scores))), 0)


def rare(scores: Tensor, draw: Any) -> Tensor:
    """Wrong in a single outcome, the least probable pair of draws."""
    positions = draw(scores.softmax(-1), 2)
    made = two_draws_of(scores, draw, positions)
    return made * 2 if bool((positions == scores.argmin()).all()) else made


def two_draws_of(scores: Tensor, draw: Any, positions: Tensor) -> Tensor:
    losses = draw.loss(positions).detach()
    return (losses * scores.log_softmax(-1)[positions]).mean()


def not_always_finite(scores: Tensor, draw: Any) -> Tensor:
    positions = draw(scores.softmax(-1), 2)
    losses = draw.loss(positions).detach()
    return (losses / losses.std() * scores.log_softmax(-1)[positions]).mean()


class Forgetful:
    """An average that takes in the present, in an object that keeps it."""

    def __init__(self) -> None:
        self.average = 0.0

    def __call__(self, scores: Tensor, draw: Any) -> Tensor:
        position = draw(scores.softmax(-1))
        loss = draw.loss(position).detach()
        self.average = 0.9 * self.average + 0.1 * float(loss)
        return (loss - self.average) * scores.log_softmax(-1)[position]


@pytest.mark.parametrize(
    ("estimator", "verdict", "scale"),
    [
        (two_draws, "exact", 1),
        (inverted, "scaled", -1),
        (enumerated, "exact", 1),
        (marginal, "biased", None),
        (rare, "biased", None),
        (not_always_finite, "variance unbounded", None),
        (Forgetful(), "scaled", 0.9),
    ],
)
def test_an_estimator_of_a_persons_own_has_its_verdict(
    estimator: Callable[..., Tensor], verdict: str, scale: float | None
) -> None:
    found = attnlab.certify(estimator)
    assert found.verdict == verdict and found.enumerated
    assert scale is None or found.scale == pytest.approx(scale, abs=1e-9)


def test_an_objective_that_is_named_is_what_an_estimator_is_held_to() -> None:
    assert attnlab.certify(marginal, objective="marginal").verdict == "exact"
    assert attnlab.certify(marginal).follows == ("marginal: -log of the expected exp(-loss), exactly",)


def test_a_mean_of_the_whole_batch_is_exact_in_direction_and_a_batch_that_scales_is_found() -> None:
    problem = answer_problems(0)[1]._replace(size=2)
    across = attnlab.certify(lambda rewards: rewards - rewards.mean(), problems=[problem])
    assert across.verdict == "scaled" and across.scale == pytest.approx(1 - 1 / 4)
    divided = attnlab.certify(lambda rewards: rewards / rewards.abs().max(), problems=[problem])
    assert divided.verdict == "depends on the batch"


# --- evidence, computed in another way ---


def test_variance_and_error_are_those_of_every_outcome_by_a_loop() -> None:
    (problem,) = choice_problems(0)[:1]
    found = attnlab.certify(two_draws, problems=[problem])
    p, losses = problem.scores.softmax(-1), loss_of(torch.eye(3).double(), problem.values)
    exact = p * (losses - p @ losses)
    variance = 0.0
    for i, j in itertools.product(range(3), repeat=2):
        slope = (losses[i] - losses[j]) * (torch.eye(3)[i] - torch.eye(3)[j]).double() / 2
        variance += float(p[i] * p[j] * (slope - exact).square().sum())
    relative = variance / float(exact.square().sum())
    assert found.variance == pytest.approx(relative, rel=1e-9) and found.cost == 2
    assert found.error == pytest.approx(math.sqrt(relative * 2 / 100), rel=1e-9)


def test_exact_gradients_are_those_of_differences_of_a_plain_formula() -> None:
    problem = choice_problems(1)[2]
    each = loss_of(torch.eye(5).double(), problem.values)
    reference = problem.reference.exp()
    formulas: dict[str, Callable[[Tensor], Tensor]] = {
        "expected": lambda p: (p * each).sum(),
        "soft": lambda p: loss_of(p, problem.values),
        "marginal": lambda p: -(p * (-each).exp()).sum().log(),
        "reverse_kl": lambda p: (p * (p / reference).log()).sum(),
        "entropy": lambda p: (p * (1 / p).log()).sum(),
        "forward_kl": lambda p: (reference * (reference / p).log()).sum(),
    }
    for objective, formula in formulas.items():
        slope = by_differences(lambda s, formula=formula: float(formula(s.softmax(-1))), problem.scores)
        torch.testing.assert_close(of_choice(problem, objective)[0], slope, rtol=1e-8, atol=1e-9)


def test_the_exact_gradient_of_answers_is_that_of_a_loop_over_groups() -> None:
    problem = answer_problems(2)[0]

    def best(scores: Tensor) -> float:
        p, total = scores.softmax(-1), 0.0
        for group in itertools.product(range(4), repeat=4):
            total += float(p[list(group)].prod() * problem.rewards[0, list(group)].max())
        return total

    def each(scores: Tensor, per_token: bool) -> float:
        paid = problem.rewards[0] / (problem.lengths[0] if per_token else 1)
        return float((scores.softmax(-1) * paid).sum())

    slopes = {
        "best": by_differences(best, problem.scores[0]),
        "expected": by_differences(lambda s: each(s, False), problem.scores[0]),
        "per_token": by_differences(lambda s: each(s, True), problem.scores[0]),
    }
    for objective, slope in slopes.items():
        torch.testing.assert_close(of_answers(problem, objective), slope, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("estimator", [two_draws, published.k3, published.straight_through])
def test_the_certificate_is_the_same_in_any_order_of_the_outcomes(
    estimator: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_comes, original = attnlab.certify(estimator), measuring.enumerated
    for seed in range(3):

        def shuffled(*arguments: Any, seed: int = seed) -> Any:
            found = original(*arguments)
            random.Random(seed).shuffle(found)
            return found

        monkeypatch.setattr(measuring, "enumerated", shuffled)
        assert attnlab.certify(estimator) == as_it_comes


# --- sampling ---


def with_categorical(scores: Tensor, draw: Any) -> Tensor:
    """Draws by torch itself, which are enumerated too."""
    law = torch.distributions.Categorical(logits=scores)
    positions = law.sample(torch.Size([2]))
    losses = draw.loss(positions).detach()
    return ((losses - losses.flip(0)) * law.log_prob(positions)).mean()


def without_replacement(scores: Tensor, draw: Any) -> Tensor:
    """The first of two different positions has the law of one draw."""
    first, _ = torch.multinomial(scores.softmax(-1), 2)
    return draw.loss(first).detach() * scores.log_softmax(-1)[first]


@pytest.mark.parametrize(("estimator", "outcomes"), [(with_categorical, 9), (without_replacement, 6)])
def test_draws_by_torch_itself_are_enumerated(estimator: Callable[..., Tensor], outcomes: int) -> None:
    found = attnlab.certify(estimator)
    assert found.verdict == "exact" and f": {outcomes} + " in found.how


def by_noise(scores: Tensor, draw: Any) -> Tensor:
    noise = -torch.empty(4, len(scores), dtype=torch.float64).exponential_().log()
    positions = (scores.detach() + noise).argmax(-1)
    losses = draw.loss(positions).detach()
    advantages = (losses - losses.mean()) * 4 / 3
    return (advantages * scores.log_softmax(-1)[positions]).mean()


def halved(scores: Tensor, draw: Any) -> Tensor:
    return by_noise(scores, draw) / 2


def relaxed(scores: Tensor, draw: Any) -> Tensor:
    return draw.loss(torch.nn.functional.gumbel_softmax(scores, tau=3.0))


@pytest.mark.parametrize(
    ("estimator", "matters", "verdict"),
    [(by_noise, 0.3, "exact"), (halved, 0.3, "scaled"), (relaxed, 0.1, "biased")],
)
def test_draws_that_cannot_be_forced_are_sampled_until_a_test_decides(
    estimator: Callable[..., Tensor], matters: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_samples, "_BY_FUNCTION", (matters, 2**9, 2**14))
    found = attnlab.certify(estimator, problems=choice_problems(0)[:2])
    assert found.verdict == verdict and not found.enumerated and found.how.startswith("sampled")


def law(mean: Tensor, heavy: bool = False) -> Callable[[int, int], Tensor]:
    def more(draws: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(draws, 3, generator=generator, dtype=torch.float64)
        if heavy:
            noise *= torch.rand(draws, 1, generator=generator, dtype=torch.float64) ** -2
        return mean + noise

    return more


def by_numpy(scores: Tensor, draw: Any) -> Tensor:
    shares = scores.detach().softmax(-1).numpy()
    position = int(numpy.random.choice(len(shares), p=shares))
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]


def by_gumbel(scores: Tensor, draw: Any) -> Tensor:
    position = (scores - torch.rand_like(scores).log().neg().log()).argmax()
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]


def by_python(scores: Tensor, draw: Any) -> Tensor:
    (position,) = random.choices(range(len(scores)), scores.detach().softmax(-1).tolist())
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]


def by_another(scores: Tensor, draw: Any) -> Tensor:
    shares = scores.detach().softmax(-1).numpy()
    position = int(numpy.random.default_rng().choice(len(shares), p=shares))
    return draw.loss(position).detach() * scores.log_softmax(-1)[position]


@pytest.mark.parametrize("estimator", [by_numpy, by_gumbel, by_python, by_another])
def test_a_draw_that_cannot_be_forced_is_never_taken_for_none(estimator: Callable[..., Tensor]) -> None:
    """One position has nearly every draw, so that most repetitions agree."""
    problem = choice_problems(0)[0]
    likely = [problem._replace(scores=torch.tensor([0.0, 2.0, 0.5], dtype=torch.float64))]
    made = functions.subject_of(estimator, "theirs", 0, likely)
    try:
        enumerable = measuring.repeats(made, likely[0])
    except NotEnumerable as reason:
        assert "global generator" in str(reason) and estimator in (by_numpy, by_gumbel)
    else:
        assert not enumerable and estimator in (by_python, by_another)


def test_what_is_drawn_by_numpy_is_sampled_the_same_way_twice() -> None:
    numpy.random.seed(5)
    before = numpy.random.get_state(legacy=False)["state"]["pos"]  # pyright: ignore

    def biased(scores: Tensor, draw: Any) -> Tensor:
        return by_numpy(scores, draw) + scores.square().sum()

    one, other = (attnlab.certify(biased, problems=choice_problems(0)[:1]) for _ in range(2))
    assert one == other and one.verdict == "biased" and not one.enumerated
    assert numpy.random.get_state(legacy=False)["state"]["pos"] == before  # pyright: ignore


def test_the_sequential_test_decides_what_it_says_it_decides() -> None:
    exact = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    off = torch.tensor([0.3, 0.0, -0.3], dtype=torch.float64)

    def finding(mean: Tensor, heavy: bool = False) -> str:
        return settle(law(mean, heavy), exact, 0.1, 2**10, 2**16).finding

    assert [finding(x) for x in (exact, exact / 2, exact + off, 0 * exact)] == [
        "exact",
        "scaled",
        "biased",
        "no gradient",
    ]
    assert finding(exact, heavy=True) == "variance unbounded"


# --- mechanisms, and outputs ---


@pytest.mark.parametrize("name", ["soft", "hard_exact", "hard_marginal", "sum_and_sample"])
def test_a_mechanism_by_name_is_exact_for_its_own_objective(name: str) -> None:
    found = attnlab.certify(name).require("exact")
    assert found.objective == attnlab.mechanism(name).facts.objective and found.behind == "exact"


def test_settings_of_a_mechanism_are_those_of_the_command_line() -> None:
    found = attnlab.certify("hard_reinforce", samples=2, baseline="self_critical")
    assert found.verdict == "exact" and found.cost == 3 and "baseline=self_critical" in found.name
    with pytest.raises(ValueError, match="samples"):
        attnlab.certify("hard_reinforce", samples=0)


def test_an_assertion_says_what_was_found_and_what_to_look_for() -> None:
    found = attnlab.certify(published.in_sample_baseline)
    assert found.require("exact", "scaled") is found
    with pytest.raises(AssertionError, match="exact was required; the direction is right"):
        found.require()
    with pytest.raises(ValueError, match="'sound'"):
        found.require("sound")


def test_json_holds_every_field_and_no_number_that_json_has_not() -> None:
    found = attnlab.certify("uniform")
    read = json.loads(found.json(), parse_constant=lambda word: pytest.fail(word))
    assert set(read) == set(Certificate.__dataclass_fields__) and read["variance"] is None


def went_back(scores: Tensor, draw: Any) -> Tensor:
    loss = published.score_function(scores, draw)
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda scores: scores.sum(), "after scores comes draw"),
        (lambda x, draw: x.sum(), "known by the name of the first parameter"),
        (lambda rewards, tokens: rewards, "asks for tokens; beside rewards there are lengths, log"),
        (lambda scores, draw: "loss", "must give one loss, a tensor of one number, got 'loss'"),
        (lambda scores, draw: scores, r"must give one loss.* got \(3,\)"),
        (lambda rewards: rewards.sum(), r"a weight for every answer, \(1, 4\).* got \(\)"),
        (lambda logits, draw: logits[:2], r"the weights of 3 experts, \(3,\), got \(2,\)"),
        (lambda scores, draw: scores[9], "fails with IndexError: .*test_certify.py, line"),
        (lambda scores, draw: scores.sum() * math.nan, "no finite gradient in any"),
        (lambda scores, draw: draw.loss(draw(scores)), "probabilities >= 0 that sum to 1"),
        (lambda scores, draw: draw.loss(scores[:2]), r"weights \(..., 3\) of positions, got \(2,\)"),
        (lambda scores, draw: draw.loss(7), "positions from 0 to 2, got 7"),
        (went_back, "the gradient of what went_back gives cannot be taken: Trying to backward"),
    ],
)
def test_what_is_no_estimator_is_refused_in_a_sentence(wrong: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attnlab.certify(wrong)


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="objective is one of expected, soft"):
        attnlab.certify(two_draws, objective="best")
    with pytest.raises(ValueError, match="only a mechanism has settings and a reach, got samples"):
        attnlab.certify(two_draws, samples=2)
    with pytest.raises(ValueError, match="problems of this kind are OneChoice, got Answers"):
        attnlab.certify(two_draws, problems=[KNOWN])
    with pytest.raises(ValueError, match="has problems of its own"):
        attnlab.certify("soft", problems=[KNOWN])
    with pytest.raises(ValueError, match="as many scores as rewards"):
        answers([0, 1], [1], [1, 1], 2)


def test_problems_of_too_many_outcomes_are_left_out_while_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(by_outcomes, "_MOST", 10)
    assert attnlab.certify(two_draws).how.endswith(": 9 outcomes")
    monkeypatch.setattr(by_outcomes, "_MOST", 8)
    monkeypatch.setattr(by_samples, "_BY_FUNCTION", (0.5, 2**8, 2**10))
    assert attnlab.certify(two_draws, problems=choice_problems(0)[:1]).how.startswith("sampled")
