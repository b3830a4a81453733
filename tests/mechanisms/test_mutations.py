"""Mistakes of published software, planted into the library one by one, are each caught by a test that is
there already.

A mistake is a function of the original and its arguments, set in the place of the original by the test. It is
caught if a check, a test of another file called with small parameters, refuses it; and it counts as tried
only if it ran to its end, gave no NaN, and gave something else than the original for the same arguments, in
value or in gradient.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import test_estimators
import test_evaluation
import test_functional
import test_gumbel
import test_model
import test_randomness
import test_runs
import test_selection_functions
import test_sites
import torch
from enumeration import Variant
from planting import Mistake, plant
from torch import Tensor

from attnlab import functional, randomness
from attnlab.core import attention, distributions, estimators
from attnlab.core.baselines.leave_one_out import LeaveOneOut
from attnlab.core.baselines.moving_average import MovingAverage
from attnlab.core.baselines.none import NoBaseline
from attnlab.core.interfaces import AttentionInput, Categorical, Mechanism, Pass, Selection, Site, Surrogate
from attnlab.core.schedules import Scheduled
from attnlab.facts import Facts
from attnlab.mechanisms import (
    chain,
    entmax_alpha,
    gumbel,
    rebar,
    sets,
    sharpened,
    sum_and_sample,
    unnormalised,
    vimco,
)
from attnlab.runs import folders
from attnlab.training import exams as evaluation
from attnlab.training import lightning_module as training

Check = partial[None]
"""A test of another file with its parameters; `monkeypatch` and `tmp_path` are filled in."""

# the second where an error was expected; a crash is neither
REFUSED = (AssertionError, pytest.fail.Exception)


class Mutant(NamedTuple):
    """A mistake, where it is planted (a class, or the module of a function), and what must catch it."""

    owner: Any
    name: str
    mistake: Mistake
    checks: tuple[Check, ...]
    message: str | None = None  # what the refusal says, as a regular expression


# --- the mistakes ---


def changed(taken: Pass, **fields: Tensor) -> Pass:
    """The pass with other fields in the choice of its only site."""
    ((name, site),) = taken.sites.items()
    return taken._replace(sites={name: site._replace(selection=site.selection._replace(**fields))})


def log_prob_of(taken: Pass) -> Tensor:
    (site,) = taken.sites.values()
    return site.selection.log_prob


def inverted_sign(original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor) -> Any:
    return original(estimator, losses, changed(taken, log_prob=-log_prob_of(taken)), valid)


def log_prob_of_another_step(
    original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor
) -> Any:
    return original(estimator, losses, changed(taken, log_prob=log_prob_of(taken).roll(1, -1)), valid)


def return_of_another_step(original: Any, losses: Tensor, *rest: Any) -> Tensor:
    return original(losses, *rest).roll(1, -1)


def reward_with_its_gradient(
    original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor
) -> Surrogate:
    ((name, site),) = taken.sites.items()
    advantage = losses - estimator.baselines[name](losses, site, valid)
    pushed = losses + advantage * site.selection.log_prob
    return estimators.masked((site.selection.mass * pushed).sum(0), valid)


def mean_of_all_draws(original: Any, baseline: Any, returns: Tensor, site: Site, valid: Tensor) -> Tensor:
    drawn = site.selection.mass > 0
    return torch.where(drawn, returns, 0.0).sum(0, keepdim=True) / drawn.sum(0)


def average_that_knows_the_present(
    original: Any, baseline: Any, returns: Tensor, site: Site, valid: Tensor
) -> Tensor:
    baseline.update(returns, valid)
    return original(baseline, returns, site, valid)


def estimator_that_updates_first(
    original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor
) -> Surrogate:
    estimator.update(losses.detach(), valid)
    return original(estimator, losses, taken, valid)


def training_that_updates_first(original: Any, module: Any, batch: Any, batch_idx: int) -> Any:
    ahead = original(module, batch, batch_idx)
    module.estimator.update(ahead["losses"], ahead["valid"])
    return original(module, batch, batch_idx)


def argmax_for_a_sample(original: Any, randomness: Any, log_probs: Tensor) -> Tensor:
    return log_probs.argmax(-1)


def best_members_for_a_sample(original: Any, randomness: Any, log_probs: Tensor, size: int) -> Tensor:
    best = log_probs.topk(size, -1).indices
    return torch.zeros_like(log_probs, dtype=torch.bool).scatter(-1, best, True)


def one_noise_for_all(axis: int) -> Mistake:
    def shared(original: Any, randomness: Any, like: Tensor) -> Tensor:
        noise = original(randomness, like)
        return noise.narrow(axis, 0, 1).expand(noise.shape).clone()

    return shared


def rounded_sum(original: Any, hard: Tensor, soft: Tensor) -> Tensor:
    return hard.detach() + soft - soft.detach()


def total_derivative(original: Any, position: Tensor, log_probs: Tensor, noise: Tensor) -> Tensor:
    return gumbel.perturbed(position, log_probs, noise)


def conditional_draw_without_gradient(original: Any, selector: Any, *arguments: Any) -> Selection:
    selection = original(selector, *arguments)
    return selection._replace(weights=torch.cat([selection.weights[:2], selection.weights[2:].detach()]))


def set_without_its_own_share(
    original: Any, baseline: Any, returns: Tensor, site: Site, valid: Tensor
) -> Tensor:
    member = torch.eye(len(returns), dtype=torch.bool)
    alone = [original(baseline, torch.where(own[:, None, None], 0.0, returns), site, valid) for own in member]
    return torch.stack([alone[own][own] for own in range(len(returns))])


def set_with_ratios_of_first_order(
    original: Any, baseline: Any, returns: Tensor, site: Site, valid: Tensor
) -> Tensor:
    return (site.selection.mass * returns).sum(0, keepdim=True).expand_as(returns)


@torch.no_grad()
def by_integral(original: Any, weights: Tensor, log_prob: Tensor, probs: Tensor) -> Tensor:
    """P(set) = integral over v in [0, 1] of prod_s (1 - v^(p_s / p of the rest)), by 1,000 points (Kool et
    al. 2020)."""
    present = weights.sum(-1) > 0
    rest = (probs * (1 - weights.sum(0))).sum(-1)
    power = log_prob.exp() / torch.where(rest > 0, rest, 1.0)
    v = torch.linspace(0, 1, 1000, dtype=probs.dtype).view(-1, 1, 1)
    found = []
    for subset in range(2 ** len(weights)):
        inside = torch.ones_like(v * rest)
        for k in range(len(weights)):
            if not subset >> k & 1:
                inside = torch.where(present[k], inside * (1 - v ** power[k]), inside)
        found.append(torch.where(rest > 0, torch.trapezoid(inside, dx=1 / 999, dim=0), 1.0).log())
    return torch.stack(found)


@Facts(paper="none", objective="expected", unbiased=True, needs="value", evaluations="samples")
def set_of_one(original: Any, *, samples: int, **beta: Any) -> Mechanism:
    distribution = distributions.Softmax(Scheduled(beta["beta"], name="beta"))
    estimator = estimators.Reinforce(sets.SetMean)
    return Mechanism(distribution, sets.UnorderedSet(distribution, samples), estimator)


def even_share_for_the_rest(original: Any, selector: Any, inputs: Any, *rest: Any) -> Selection:
    selection = original(selector, inputs, *rest)
    outside = inputs.mask[0] & (selection.weights[:-1].sum(0) == 0)
    last = (selection.mass[-1:] > 0) / outside.sum(-1).clamp_min(1)
    return selection._replace(mass=torch.cat([selection.mass[:-1], last]))


def bound_less_itself(original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor) -> Surrogate:
    bound = torch.logsumexp(-losses, 0) - math.log(len(losses))
    signal = (bound - bound).detach() * log_prob_of(taken)
    return estimators.masked(-(bound + signal.sum(0)), valid)


def marginal_without_prior(
    original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor
) -> Surrogate:
    return estimators.masked(-torch.logsumexp(-losses, 0), valid)


def chain_that_forgets_what_was_said(original: Any, log_prob: Tensor, earlier: Tensor, *rest: Any) -> Tensor:
    return original(log_prob, torch.zeros_like(earlier), *rest)


def chain_told_its_own_symbol(original: Any, losses: Tensor) -> Tensor:
    return losses


def jumps_that_lead_back(original: Any, log_prob: Tensor, jump: Tensor) -> Tensor:
    return original(log_prob, jump.mT)


def jumps_cut_off_after_the_softmax(original: Any, log_prob: Tensor, jump: Tensor) -> Tensor:
    free = original(log_prob, jump.masked_fill(jump.isneginf(), 0.0))
    return free.masked_fill(jump.isneginf(), functional.lowest(free.dtype))


def padding_that_counts(
    original: Any, loss: Tensor, valid: Tensor, auxiliary: Tensor | None = None
) -> Surrogate:
    return original(loss, torch.ones_like(valid), auxiliary)


def mean_over_padding(original: Any, model: Any, batch: Any, rule: Any) -> dict[str, tuple[float, float]]:
    return {
        name: (above, float(batch.target.numel()))
        for name, (above, _) in original(model, batch, rule).items()
    }


def mean_of_means(original: Any, *arguments: Any) -> dict[str, tuple[float, float]]:
    return {name: (above / below, 1.0) for name, (above, below) in original(*arguments).items() if below}


def mask_after_softmax(original: Any, distribution: Any, inputs: Any) -> Categorical:
    """With scores of 0 where the mask is False, as multiplication by the mask leaves them."""
    probs, log_probs = original(
        distribution, inputs._replace(scores=inputs.scores.masked_fill(~inputs.mask, 0.0))
    )
    lowest = functional.lowest(log_probs.dtype)
    return Categorical(probs.masked_fill(~inputs.mask, 0.0), log_probs.masked_fill(~inputs.mask, lowest))


def mask_that_is_too_small(
    original: Any, module: Any, query: Tensor, memory: Any, choose: Any, **named: Any
) -> Any:
    """-1e-9 for -1e9: no mask at all."""
    return original(module, query, memory._replace(mask=torch.ones_like(memory.mask)), choose, **named)


def schedule_that_gets_lost(original: Any, module: Any) -> Any:
    return {"optimizer": original(module)["optimizer"]}


def identity_without_the_seed(original: Any, tree: Mapping[str, Any]) -> str:
    return original({key: value for key, value in tree.items() if key != "seed"})


# --- which check catches which ---


def returns_of_its_own_step(original: Any, losses: Tensor, valid: Tensor, reach: str) -> Tensor:
    return original(losses, valid, "step" if reach == "later" else reach)


def returns_up_to_a_step(original: Any, losses: Tensor, valid: Tensor, reach: str) -> Tensor:
    found = original(losses, valid, reach)
    return torch.where(valid, losses, 0.0).cumsum(-1) if reach == "later" else found


def returns_with_padding(original: Any, losses: Tensor, valid: Tensor, reach: str) -> Tensor:
    return original(losses, torch.ones_like(valid), reach)


def returns_of_the_first_step(original: Any, losses: Tensor, valid: Tensor, reach: str) -> Tensor:
    return losses[..., :1] if reach == "all" else original(losses, valid, reach)


def log_prob_of_one_head(original: Any, numbers: Tensor) -> Tensor:
    return numbers.select(2, 0) if numbers.ndim > 3 else original(numbers)


def site_that_is_left_out(original: Any, estimator: Any, losses: Tensor, taken: Pass, valid: Tensor) -> Any:
    _, *rest = taken.sites.items()
    return original(estimator, losses, taken._replace(sites=dict(rest)), valid)


def draws_that_all_alternatives_share(original: Any, log_probs: Tensor, source: Any) -> Tensor:
    return original(log_probs, source)[:1].expand(log_probs.shape[:-1])


def reinforce(baseline: str, samples: int) -> Variant:
    return Variant("hard_reinforce", {"baseline": baseline, "samples": samples})


def polynomial_in_the_wrong_order(original: Any, distribution: Any, inputs: AttentionInput) -> Categorical:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharpened, "COEFFICIENTS", sharpened.COEFFICIENTS[::-1])
        return original(distribution, inputs)


def number_that_counts_padding(original: Any, distribution: Any, inputs: AttentionInput) -> Any:
    return original(distribution, inputs._replace(mask=torch.ones_like(inputs.mask)))


def threshold_that_is_a_constant(original: Any, scores: Tensor, excess: Tensor) -> Tensor:
    found = original(scores, excess).detach()
    slope = torch.where(found > 0, found ** (1 - excess), 0.0)
    moved = torch.where(found > 0, scores - scores.detach(), 0.0)
    return found + slope * moved


CHAIN, MONOTONIC = (Variant("hard_chain", {"monotonic": monotonic}) for monotonic in (False, True))


def mean(name: str | Variant, **settings: Any) -> Check:
    """The mean gradient of a mechanism is that of its objective."""
    variant = name if isinstance(name, Variant) else Variant(name, settings)
    return partial(test_estimators.test_the_mean_gradient_is_that_of_the_objective, variant, "nonlinear", 1.0)


def model(variant: Variant) -> Check:
    """The same through a whole model."""
    check = test_estimators.test_every_parameter_of_the_model_gets_the_gradient_of_the_objective
    return partial(check, variant, "gru", "scaled_dot")


def one_hot(name: str, dtype: torch.dtype, **settings: Any) -> Check:
    return partial(test_estimators.test_hard_weights_are_one_hot_bit_for_bit, Variant(name, settings), dtype)


def rao(samples: int) -> Check:
    check = test_gumbel.test_for_given_noise_weights_and_their_gradient_are_those_of_the_definition
    return partial(check, Variant("gumbel_rao", {"samples": samples}), 0.5)


SELECTION = test_selection_functions
LEADER = SELECTION.test_the_weight_of_a_leader_follows_its_closed_form_in_the_number_of_positions
PACKAGE = partial(SELECTION.test_entmax_and_its_gradients_are_those_of_the_entmax_package, 1.3)
PLAIN, ONE_OUT, AVERAGE = reinforce("none", 1), reinforce("leave_one_out", 2), reinforce("moving_average", 1)
STRAIGHT = Variant("gumbel_straight_through", {})
PAIR, TRIPLE = ({"samples": n} for n in (2, 3))
REBAR = partial(
    test_gumbel.test_the_mean_gradient_of_rebar_is_that_of_the_expected_loss, 1.0, "nonlinear", 1.0, 0.5
)
PATHS = test_sites.test_the_mean_over_every_path_is_the_gradient_of_the_expected_loss
FEEDING, LAYERS, BOTH = (
    partial(PATHS, case, 1, NoBaseline)
    for case in ("input feeding", "two layers of two heads", "encoder and decoder")
)
ROLLOUTS = partial(PATHS, "input feeding", 2, LeaveOneOut)
DRAWN_JOINTLY = partial(
    test_randomness.test_draws_of_different_alternatives_rows_and_steps_are_jointly_independent
)
DRAWN = test_estimators.test_what_is_not_forced_is_drawn_from_probs
SET_DRAWN = test_estimators.test_a_set_that_is_not_forced_is_drawn_with_its_probability
PADDING = test_estimators.test_padding_gets_no_surrogate_and_no_gradient
MASS = test_estimators.test_a_selection_has_one_unit_of_mass_and_one_way_for_the_gradient
SLOWLY = test_evaluation.test_figures_are_those_of_a_slow_computation_without_padding
BATCHES = test_evaluation.test_no_figure_depends_on_the_size_of_batches
UPDATES = test_runs.test_gradient_norms_are_those_computed_by_hand
UNCHANGED = test_estimators.test_a_forward_pass_changes_no_state

MUTANTS: dict[str, Mutant] = {
    "the sign of REINFORCE is inverted": Mutant(
        estimators.Reinforce,
        "forward",
        inverted_sign,
        (mean(PLAIN), mean(ONE_OUT), mean("sum_and_sample", **PAIR), model(PLAIN)),
    ),
    "the log-probability of a step meets the loss of another": Mutant(
        estimators.Reinforce, "forward", log_prob_of_another_step, (mean(PLAIN), mean(ONE_OUT), model(PLAIN))
    ),
    "the return of a step meets the log-probability of another": Mutant(
        estimators, "returns_of", return_of_another_step, (mean(PLAIN), mean(ONE_OUT), model(PLAIN))
    ),
    "the reward is not detached": Mutant(
        estimators.Reinforce,
        "forward",
        reward_with_its_gradient,
        (mean(PLAIN), mean("unordered_set", **PAIR), model(PLAIN)),
    ),
    "a baseline contains its own sample": Mutant(
        LeaveOneOut,
        "forward",
        mean_of_all_draws,
        (mean(ONE_OUT),),
        message=r"cosine (1\.0|0\.9999999)",  # the length alone tells
    ),
    "leave-one-out leaves nothing out": Mutant(
        LeaveOneOut,
        "forward",
        mean_of_all_draws,
        (
            partial(test_estimators.test_leave_one_out_is_the_mean_of_the_others_and_leaves_controls_out),
            model(ONE_OUT),
        ),
    ),
    "a moving average takes in the returns before it is subtracted": Mutant(
        MovingAverage,
        "forward",
        average_that_knows_the_present,
        (
            mean(AVERAGE),
            partial(UNCHANGED, AVERAGE),
            partial(test_estimators.test_the_moving_average_is_bias_corrected_and_reads_past_steps_only),
        ),
    ),
    "an estimator updates its baseline before it asks": Mutant(
        estimators.Reinforce,
        "forward",
        estimator_that_updates_first,
        (mean(AVERAGE), partial(UNCHANGED, AVERAGE)),
    ),
    "training updates a baseline before the surrogate": Mutant(
        training.Training,
        "training_step",
        training_that_updates_first,
        (partial(UPDATES, "moving_average"),),
        message=r"assert [\d.]+ == [\d.]+ ± ",  # a norm, not a run that failed
    ),
    "the argmax is taken for a sample": Mutant(
        randomness.Randomness,
        "position",
        argmax_for_a_sample,
        (
            partial(test_randomness.test_draws_have_the_frequencies_of_their_distribution),
            partial(DRAWN, PLAIN),
            partial(DRAWN, Variant("hard_straight_through", {})),
            partial(DRAWN, Variant("reinmax", {})),
            partial(SET_DRAWN, Variant("sum_and_sample", PAIR)),
        ),
    ),
    "the best members are taken for a set that is drawn": Mutant(
        randomness.Randomness,
        "positions",
        best_members_for_a_sample,
        (partial(SET_DRAWN, Variant("unordered_set", PAIR)),),
    ),
    "all alternatives share their noise": Mutant(
        randomness.Randomness, "noise", one_noise_for_all(0), (partial(DRAWN, ONE_OUT), DRAWN_JOINTLY)
    ),
    "all rows of a batch share their noise": Mutant(
        randomness.Randomness,
        "noise",
        one_noise_for_all(1),
        (partial(DRAWN, PLAIN), partial(SET_DRAWN, Variant("unordered_set", TRIPLE)), DRAWN_JOINTLY),
    ),
    "all steps share their noise": Mutant(
        randomness.Randomness, "noise", one_noise_for_all(2), (DRAWN_JOINTLY,)
    ),
    "hard weights are one-hot up to rounding": Mutant(
        functional,
        "straight_through",
        rounded_sum,
        (
            one_hot("hard_straight_through", torch.float32),
            one_hot("hard_straight_through", torch.bfloat16),
            one_hot("reinmax", torch.float32),
            one_hot("gumbel_rao", torch.bfloat16, samples=3),
            *(
                partial(
                    test_functional.test_straight_through_has_the_value_of_hard_bit_for_bit_and_the_gradient_of_soft,
                    dtype,
                )
                for dtype in (torch.bfloat16, torch.float32, torch.float64)
            ),
        ),
    ),
    "a relaxed draw is differentiated through its noise given the draw": Mutant(
        gumbel,
        "reparametrised",
        total_derivative,
        (
            rao(1),
            rao(3),
            partial(
                test_gumbel.test_for_given_noise_weights_and_their_gradient_are_those_of_the_definition,
                STRAIGHT,
                0.5,
            ),
            partial(test_gumbel.test_reparametrised_logits_hold_their_noise_fixed_and_perturbed_ones_do_not),
            REBAR,
        ),
    ),
    "the conditional draw of REBAR carries no gradient": Mutant(
        rebar.RelaxedPair, "forward", conditional_draw_without_gradient, (REBAR,)
    ),
    "a set's baseline drops the member's own share": Mutant(
        sets.SetMean,
        "forward",
        set_without_its_own_share,
        (
            mean("unordered_set", **PAIR),
            mean("unordered_set", **TRIPLE),
            model(Variant("unordered_set", PAIR)),
        ),
    ),
    "a set's baseline uses ratios of first order for those of second": Mutant(
        sets.SetMean,
        "forward",
        set_with_ratios_of_first_order,
        (
            mean("unordered_set", **PAIR),
            mean("unordered_set", **TRIPLE),
            model(Variant("unordered_set", PAIR)),
        ),
    ),
    "the probability of a set is an integral over 1,000 points": Mutant(
        sets, "log_completion", by_integral, (mean("unordered_set", **PAIR), mean("unordered_set", **TRIPLE))
    ),
    "a set of one is its own baseline": Mutant(
        sets,
        "unordered_set",
        set_of_one,
        (
            partial(
                test_estimators.test_a_number_of_samples_that_leaves_nothing_to_compare_or_too_much_is_refused,
                "unordered_set",
                1,
            ),
        ),
    ),
    "the drawn position counts one over the number outside": Mutant(
        sum_and_sample.SumAndSample,
        "forward",
        even_share_for_the_rest,
        (
            mean("sum_and_sample", **PAIR),
            mean("sum_and_sample", **TRIPLE),
            partial(MASS, Variant("sum_and_sample", PAIR)),
        ),
    ),
    "VIMCO keeps the own term, and its signal is zero": Mutant(
        vimco.Vimco,
        "forward",
        bound_less_itself,
        (mean("vimco", **PAIR), mean("vimco", **TRIPLE), model(Variant("vimco", PAIR))),
    ),
    "the marginal likelihood has no prior": Mutant(
        estimators.Marginal,
        "forward",
        marginal_without_prior,
        (mean("hard_marginal"), model(Variant("hard_marginal", {}))),
    ),
    "a chain forgets what was said": Mutant(
        chain, "filtered", chain_that_forgets_what_was_said, (mean(CHAIN), mean(MONOTONIC), model(CHAIN))
    ),
    "a chain is told the symbol that it has yet to say": Mutant(
        chain, "before_each", chain_told_its_own_symbol, (mean(CHAIN), mean(MONOTONIC), model(CHAIN))
    ),
    "a chain goes from where it arrives": Mutant(
        chain, "moves", jumps_that_lead_back, (mean(CHAIN), model(CHAIN))
    ),
    "a monotonic chain loses the probability of going back": Mutant(
        chain, "moves", jumps_cut_off_after_the_softmax, (mean(MONOTONIC), model(MONOTONIC))
    ),
    "a step of padding counts": Mutant(
        estimators,
        "masked",
        padding_that_counts,
        (
            *(
                partial(PADDING, v)
                for v in (PLAIN, reinforce("learned", 1), Variant("soft", {}), Variant("vimco", PAIR))
            ),
            mean("hard_marginal"),
            model(ONE_OUT),
        ),
    ),
    "a figure is a mean over padding": Mutant(
        evaluation,
        "teacher_forced",
        mean_over_padding,
        (partial(SLOWLY, "argmax"), partial(BATCHES, "soft", 4)),
    ),
    "a figure is a mean of means over batches": Mutant(
        evaluation, "teacher_forced", mean_of_means, (partial(BATCHES, "argmax", 4),)
    ),
    "a choice that reaches on is paid for its own step alone": Mutant(
        estimators, "returns_of", returns_of_its_own_step, (FEEDING, LAYERS, ROLLOUTS)
    ),
    "a choice is paid for what came before it": Mutant(
        estimators, "returns_of", returns_up_to_a_step, (FEEDING, LAYERS)
    ),
    "a choice that reaches on is paid for padding": Mutant(
        estimators, "returns_of", returns_with_padding, (FEEDING, BOTH)
    ),
    "a choice of the encoder is paid for the first step": Mutant(
        estimators, "returns_of", returns_of_the_first_step, (BOTH,)
    ),
    "one of several heads is credited": Mutant(estimators, "over_heads", log_prob_of_one_head, (LAYERS,)),
    "one of two sites is credited": Mutant(
        estimators.Reinforce, "forward", site_that_is_left_out, (LAYERS, BOTH)
    ),
    "a baseline contains its own rollout": Mutant(LeaveOneOut, "forward", mean_of_all_draws, (ROLLOUTS,)),
    "all rollouts take one way": Mutant(
        randomness, "draw", draws_that_all_alternatives_share, (DRAWN_JOINTLY,)
    ),
    "a polynomial is read from its lowest power": Mutant(
        sharpened.AdaptiveTemperature,
        "forward",
        polynomial_in_the_wrong_order,
        (mean("adaptive_temperature"), partial(LEADER, "adaptive_temperature", 64)),
    ),
    "the number of positions counts padding": Mutant(
        sharpened.LogLength,
        "forward",
        number_that_counts_padding,
        (mean("log_length"), partial(LEADER, "log_length", 8)),
    ),
    "a bias counts padding": Mutant(
        unnormalised.Sigmoid,
        "log_weights",
        number_that_counts_padding,
        (mean("sigmoid", bias=True), partial(LEADER, "sigmoid", 8)),
    ),
    "a threshold has no gradient": Mutant(
        entmax_alpha, "entmax", threshold_that_is_a_constant, (mean("entmax_alpha"), PACKAGE)
    ),
    "the mask comes after the softmax": Mutant(
        distributions.Softmax,
        "forward",
        mask_after_softmax,
        (
            mean("soft"),
            mean("hard_exact"),
            mean(PLAIN),
            partial(MASS, Variant("soft", {})),
            model(Variant("soft", {})),
        ),
    ),
    "the mask is too small a number": Mutant(
        attention.Attention,
        "forward",
        mask_that_is_too_small,
        (
            model(Variant("soft", {})),
            partial(test_model.test_padding_changes_no_logit, "lstm", 1, "soft"),
            partial(SLOWLY, "soft"),
        ),
    ),
    "a schedule gets lost on its way to the trainer": Mutant(
        training.Training,
        "configure_optimizers",
        schedule_that_gets_lost,
        (partial(test_runs.test_the_learning_rate_follows_its_schedule, "linear", [0.06, 0.01]),),
        message=r"assert \[0\.1, 0\.1\] == ",
    ),
    "the identity of a run leaves a setting out": Mutant(
        folders,
        "identity",
        identity_without_the_seed,
        (partial(test_runs.test_identity_follows_every_setting_that_matters, ["seed=1"]),),
    ),
}


def shown(check: Check) -> str:
    """A check as pytest names a test."""
    return f"{check.func.__name__}[{'-'.join(getattr(x, '__name__', str(x)) for x in check.args)}]"


CHECKS = {shown(check): check for mutant in MUTANTS.values() for check in mutant.checks}
TRIED = [
    pytest.param(name, check, id=f"{name}: {shown(check)}", marks=pytest.mark.slow if number else [])
    for name in MUTANTS
    for number, check in enumerate(MUTANTS[name].checks)  # the first is tried every time
]
PLACES: dict[tuple[Any, str], Check] = {}
for mutant in MUTANTS.values():
    if mutant.mistake is not set_of_one:  # there the original refuses
        PLACES.setdefault((mutant.owner, mutant.name), mutant.checks[0])


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Check], None]:
    """Runs a check, with the fixtures that it names."""
    fixtures = {"monkeypatch": monkeypatch, "tmp_path": tmp_path}

    def run(check: Check) -> None:
        check(**{name: fixtures[name] for name in inspect.signature(check).parameters})

    return run


def test_every_mistake_has_a_check_of_another_file():
    assert len(MUTANTS) >= 30
    for mutant in MUTANTS.values():
        assert mutant.checks
        assert all(
            check.func.__module__ != __name__ and check.func.__name__.startswith("test_")
            for check in mutant.checks
        )


@pytest.mark.slow  # the checks are tests of other files
@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_pass_without_a_mistake(name: str, run: Callable[[Check], None]):
    run(CHECKS[name])


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda place: getattr(place, "__name__", place))
def test_planting_the_original_in_its_own_place_changes_nothing(
    owner: Any, name: str, run: Callable[[Check], None], monkeypatch: pytest.MonkeyPatch
):
    """So what is caught is the mistake and not the planting, and where there is no difference none is
    recorded."""
    record = plant(
        monkeypatch, owner, name, lambda original, *arguments, **named: original(*arguments, **named)
    )
    run(PLACES[owner, name])
    assert record.calls == record.finished > 0 and record.differed == record.nan == 0


@pytest.mark.parametrize(("name", "check"), TRIED)
def test_every_mistake_is_planted_executed_and_caught(
    name: str, check: Check, run: Callable[[Check], None], monkeypatch: pytest.MonkeyPatch
):
    mutant = MUTANTS[name]
    record = plant(monkeypatch, mutant.owner, mutant.name, mutant.mistake)
    with pytest.raises(REFUSED, match=mutant.message):
        run(check)
    assert record.calls == record.finished > 0, "the mistake was not executed, or crashed"
    assert record.differed > 0, "the mistake made no difference here"
    assert record.nan == 0, "a NaN catches nothing"
