"""Mechanisms of continuous noise: equal to their definition for given noise, and in the mean where a mean is
claimed.

The mean is a quadrature for two positions, where only r = log(E_other / E_D), a logistic variable, matters;
for more it is a Monte Carlo mean with a fixed seed, a chi-square test, and a wrong estimator that the same
test refuses.
"""

import math
from collections.abc import Callable

import pytest
import torch
from enumeration import (
    CONTINUOUS,
    Forced,
    Variant,
    assert_same_gradient,
    gradients,
    objective,
    one_hot_rows,
    select,
    softmax,
    surrogate_of,
    variants,
)
from scipy.stats import chi2
from test_estimators import (
    BATCH,
    BETAS,
    KNOWN_LOSSES,
    LOSSES,
    SOURCE,
    TARGET,
    THETA,
    independently,
    normal,
    problem,
    seq2seq,
)
from torch import Tensor

from attnlab.functional import lowest
from attnlab.mechanisms import gumbel
from attnlab.microscope.gradients import exact_gradient, sample_gradients
from attnlab.models.model import taken_by
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, Batch

B, T, S = 3, 2, 5
TEMPERATURES = [0.1, 0.5, 1.0, 2.0]
STRAIGHT = [v for v in variants() if v.name in ("gumbel_straight_through", "gumbel_rao")]
REBAR = Variant("rebar", {})
RELAXED = ("gumbel_softmax", "variational_gumbel")


def weights_and_their_gradient(variant: Variant, seed: int) -> Tensor:
    """With different positions forced at every step."""
    draws = 1 if variant.name in CONTINUOUS else variant.settings.get("samples", 1)
    scores, mask = (
        torch.zeros(1, 50, 8, dtype=torch.float64).requires_grad_(),
        torch.ones(1, 1, 8, dtype=torch.bool),
    )
    weights = select(variant.build(), scores, mask, torch.arange(draws).view(-1, 1, 1), seed).weights
    value = (weights * torch.arange(8)).sum() + 0 * scores.sum()
    return torch.cat([weights.flatten(), gradients(value, [scores])])


def test_every_mechanism_whose_noise_cannot_be_enumerated_is_certified_here():
    found = {
        v.name
        for v in variants()
        if not weights_and_their_gradient(v, 0).equal(weights_and_their_gradient(v, 1))
    }
    assert found == set(CONTINUOUS)


# --- the noise, given the draw ---


def plant(monkeypatch: pytest.MonkeyPatch, noise: Callable[[Tensor], Tensor]) -> None:
    """Let the selectors take `noise(like)` in place of Exp(1) noise, for positions that are forced."""
    monkeypatch.setattr(Randomness, "noise", lambda self, like: noise(like))
    monkeypatch.setattr(Forced, "position", lambda self, log_probs: self.forced.expand(log_probs.shape[:-1]))


def test_perturbed_log_probs_have_their_argmax_at_the_draw():
    log_probs = normal(200, 3, S, seed=1).log_softmax(-1)
    position = torch.randint(S, (1, 200, 3), generator=torch.Generator().manual_seed(0))
    noise = -torch.rand(1, 200, 3, S, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log()
    assert gumbel.perturbed(position, log_probs, noise).argmax(-1).equal(position)


def test_over_all_draws_the_noise_is_gumbel_noise():
    """Mean 0.5772, variance pi^2 / 6, no correlation: within 5 standard errors over 400,000 rows."""
    rows, generator = 400_000, torch.Generator().manual_seed(3)
    log_probs = torch.tensor([0.5, -1.0, 1.0, 0.0], dtype=torch.float64).log_softmax(-1)
    position = torch.multinomial(log_probs.exp(), rows, True, generator=generator).view(1, rows, 1)
    noise = -torch.rand(1, rows, 1, 4, generator=generator, dtype=torch.float64).log()
    found = (gumbel.perturbed(position, log_probs.expand(rows, 1, 4), noise) - log_probs).view(rows, 4)
    spread = math.pi**2 / 6
    assert ((found.mean(0) - 0.5772156649).abs() < 5 * math.sqrt(spread / rows)).all()
    fourth = spread**2 * 5.4  # kurtosis of a Gumbel variable
    assert ((found.var(0) - spread).abs() < 5 * math.sqrt((fourth - spread**2) / rows)).all()
    correlation = torch.corrcoef(found.T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 5 / math.sqrt(rows)


def test_reparametrised_logits_hold_their_noise_fixed_and_perturbed_ones_do_not():
    log_probs = normal(7, 3, S, seed=1).log_softmax(-1).requires_grad_()
    position = torch.randint(S, (1, 7, 3), generator=torch.Generator().manual_seed(0))
    noise = normal(1, 7, 3, S, seed=2).exp()
    held, free = (make(position, log_probs, noise) for make in (gumbel.reparametrised, gumbel.perturbed))
    torch.testing.assert_close(held, free, rtol=0, atol=1e-14)
    weights = normal(1, 7, 3, S, seed=3)
    assert gradients((weights * held).sum(), [log_probs]).equal(weights.flatten())
    assert not torch.allclose(gradients((weights * free).sum(), [log_probs]), weights.flatten())


def test_perturbed_logits_agree_with_finite_differences():
    log_probs = normal(2, 2, 4, seed=1).log_softmax(-1).requires_grad_()
    position, noise = torch.tensor([[[0, 3], [1, 2]]]), normal(1, 2, 2, 4, seed=2).exp()
    assert torch.autograd.gradcheck(lambda x: gumbel.perturbed(position, x, noise), (log_probs,))


# --- given the noise: weights and gradient by the definition ---


def by_definition(position: Tensor, probs: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """softmax((log p + G) / temperature) for the noise given the draw, m B T S, by a loop over entries."""
    z = torch.full(noise.shape, -torch.inf, dtype=probs.dtype)
    for m, b, t, s in torch.cartesian_prod(*(torch.arange(n) for n in noise.shape)).tolist():
        d = int(position[b, t])
        if probs[b, t, s] > 0:
            z[m, b, t, s] = -noise[m, b, t, d].log()
            if s != d:
                z[m, b, t, s] = -(noise[m, b, t, s] / probs[b, t, s] + noise[m, b, t, d]).log()
    return torch.softmax(z / temperature, -1)


def path_by_definition(relaxed: Tensor, temperature: float) -> Tensor:
    """mean_j J(y_j) / temperature with J(y) = diag y - y y': d weights / d scores at beta 1, B T S S."""
    return (torch.diag_embed(relaxed) - relaxed[..., None] * relaxed[..., None, :]).mean(0) / temperature


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("variant", [v for v in variants() if v.name in CONTINUOUS], ids=str)
def test_for_given_noise_weights_and_their_gradient_are_those_of_the_definition(
    variant: Variant, temperature: float, monkeypatch: pytest.MonkeyPatch
):
    samples = variant.settings.get("samples", 1)
    scores, mask, _ = problem()
    noise = normal(samples, B, T, S, seed=7).exp()
    plant(monkeypatch, lambda like: noise.view(like.shape))
    position = torch.tensor([[0, 4], [2, 3], [3, 3]])
    selection = select(variant.build(temperature=temperature), scores, mask, position[None])
    relaxed = by_definition(position, softmax(scores, mask, 1.0).detach(), noise, temperature)
    hard = one_hot_rows(position, relaxed)[None]
    expected = {**dict.fromkeys(RELAXED, relaxed), "rebar": torch.cat([hard, relaxed, relaxed])}.get(
        variant.name, hard
    )
    torch.testing.assert_close(selection.weights, expected, rtol=1e-12, atol=1e-12)
    assert (selection.weights.masked_select(~mask) == 0).all()
    index = 1 if variant.name == "rebar" else 0
    path = path_by_definition(relaxed, temperature)
    for s in range(S):
        found = gradients(selection.weights[index, ..., s].sum(), [scores]).view(B, T, S)
        torch.testing.assert_close(found, path[..., s, :], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("score", ["additive", "scaled_dot"])
@pytest.mark.parametrize("model", ["lstm", "gru"])
@pytest.mark.parametrize(
    "variant", [v for v in variants() if v.name in CONTINUOUS and v.name != "rebar"], ids=str
)
def test_for_given_noise_every_parameter_of_the_model_gets_the_gradient_of_the_definition(
    variant: Variant, model: str, score: str, monkeypatch: pytest.MonkeyPatch
):
    net, mechanism = seq2seq(variant, model, score)
    loss, probs = independently(net, variant, 2.0)
    noise = normal(variant.settings.get("samples", 1), 3, 3, 5, seed=7).exp()
    plant(monkeypatch, lambda like: noise.view(like.shape))
    position = torch.tensor([[0, 3, 4], [2, 1, 0], [0, 0, 0]])
    valid = TARGET != PAD
    taken = taken_by(net, BATCH, mechanism.selector, Forced(position[None]))
    losses = taken.logits.logsumexp(-1) - taken.logits.gather(-1, TARGET[None, ..., None])[..., 0]
    found = mechanism.estimator(losses, taken, valid).loss.sum()
    relaxed = by_definition(position, probs.detach(), noise, 1.0)
    path = path_by_definition(relaxed, 1.0)
    logits = torch.where(probs > 0, probs, 1.0).log()  # scores up to a constant a row, which J does not see
    moved = (path @ logits[..., None])[..., 0]
    at = relaxed if variant.name in RELAXED else one_hot_rows(position, relaxed)[None]
    exact = (loss(at + (moved - moved.detach()))[0] * valid).sum()
    parameters = list(net.parameters())
    assert_same_gradient(gradients(found, parameters), gradients(exact, parameters))


# --- in the mean: REBAR by quadrature over two positions ---


def logistic_nodes() -> tuple[Tensor, Tensor]:
    """Nodes r and weights of the trapezoid rule under the logistic density, whose error is below 1e-12
    here."""
    r = torch.linspace(-40, 40, 801, dtype=torch.float64)
    return r, torch.sigmoid(r) * torch.sigmoid(-r) * 0.1


def plant_logistic(monkeypatch: pytest.MonkeyPatch, position: Tensor, r: Tensor) -> None:
    """Rows whose noise is E_D = 1 at `position` and E_other = exp(r) elsewhere."""

    def noise(like: Tensor) -> Tensor:
        at_draw = one_hot_rows(position, like).bool()[:, None]
        return torch.where(at_draw, 1.0, r.exp()[:, None, None]).expand(like.shape)

    plant(monkeypatch, noise)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("eta", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("shape", LOSSES)
@pytest.mark.parametrize("beta", BETAS)
def test_the_mean_gradient_of_rebar_is_that_of_the_expected_loss(
    beta: float, shape: str, eta: float, temperature: float, monkeypatch: pytest.MonkeyPatch
):
    mechanism = REBAR.build(beta=beta, temperature=temperature, eta=eta)
    full, behind = LOSSES[shape]()
    row = torch.tensor([0.7, -0.4], dtype=torch.float64).requires_grad_()
    r, weight = logistic_nodes()
    mask = torch.ones(len(r), 1, 2, dtype=torch.bool)
    scores = row.expand(len(r), 1, 2)
    state = torch.zeros(len(r), 1, 1, dtype=torch.float64)

    def loss(weights: Tensor) -> Tensor:  # of the first row and step, at positions 1 and 3
        wide = torch.zeros(*weights.shape[:2], 1, S, dtype=torch.float64)
        wide = wide.index_copy(-1, torch.tensor([1, 3]), weights)
        return full(wide.transpose(1, 2).reshape(-1, 1, 1, S).expand(-1, B, T, S))[:, 0, 0].view(
            len(weights), -1, 1
        )

    mean = torch.zeros((), dtype=torch.float64)
    for position in range(2):
        drawn = torch.full((len(r),), position)
        plant_logistic(monkeypatch, drawn, r)
        selection = select(mechanism, scores, mask, drawn.view(1, -1, 1))
        losses = loss(selection.weights)
        surrogate = surrogate_of(mechanism, losses, selection, mask[..., 0], state).loss[:, 0]
        mean = mean + torch.softmax(beta * row, 0)[position].detach() * (weight * surrogate).sum()
    exact = objective("expected", loss, torch.softmax(beta * row, 0)[None, None]).sum()
    assert_same_gradient(gradients(mean, [row]), gradients(exact, [row]), 1e-9)
    of_costs = gradients(exact, behind)
    torch.testing.assert_close(gradients(mean, behind), of_costs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", ["lstm", "gru"])
def test_the_mean_gradient_of_rebar_through_the_model_is_exact(model: str, monkeypatch: pytest.MonkeyPatch):
    """Sources of two symbols and of one with padding; the nodes of the quadrature lie along the batch."""
    net, mechanism = seq2seq(REBAR, model, "scaled_dot")
    source = torch.tensor([[4, 7], [8, PAD]])
    target = torch.tensor([[6, 4, EOS], [7, EOS, PAD]])
    r, weight = logistic_nodes()
    rows = torch.arange(2).repeat_interleave(len(r))
    batch = Batch(source[rows], target[rows], torch.zeros(2 * len(r), 1, 2, dtype=torch.bool))
    valid = batch.target != PAD

    def losses_of(logits: Tensor) -> Tensor:
        chosen = batch.target.expand(len(logits), -1, -1)[..., None]
        return logits.logsumexp(-1) - logits.gather(-1, chosen)[..., 0]

    mean = exact = torch.zeros((), dtype=torch.float64)
    for position in range(2):
        drawn = torch.full((len(rows),), position)
        plant_logistic(monkeypatch, drawn, r.repeat(2))
        taken = taken_by(net, batch, mechanism.selector, Forced(drawn.view(1, -1, 1)))
        losses = losses_of(taken.logits)
        surrogate = mechanism.estimator(losses, taken, valid).loss
        chance = taken.sites["attention"].selection.probs[0, ..., position]
        nodes = weight.repeat(2)[:, None]
        mean = mean + torch.where(chance > 0, chance.detach() * nodes * surrogate, 0.0).sum()
        exact = exact + (chance * nodes * losses[0] * valid).sum()
    parameters = list(net.parameters())
    assert_same_gradient(gradients(mean, parameters), gradients(exact, parameters), 1e-9)


# --- in the mean: Monte Carlo at eight positions ---


def p_value(estimates: Tensor, exact: Tensor) -> float:
    """Chi-square test that the mean of rows is `exact`; gradients in scores sum to 0, so S - 1 directions
    count."""
    difference = estimates.mean(0) - exact
    covariance = torch.cov(estimates.T) / len(estimates)
    statistic = difference @ torch.linalg.pinv(covariance, rtol=1e-9, hermitian=True) @ difference
    return float(chi2.sf(statistic.item(), estimates.size(1) - 1))


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "temperature"), [("quadratic", 0.5), ("linear", 1.0)])
def test_rebar_has_no_bias_that_a_million_draws_would_show(shape: str, temperature: float):
    """Power: a bias of 1 % of the gradient is refused at the same threshold (the second assertion)."""
    overrides = ["attention=rebar", f"attention.temperature={temperature}"]
    estimates = sample_gradients(overrides, THETA, KNOWN_LOSSES[shape], 1_000_000, seed=1)
    exact = exact_gradient(THETA, KNOWN_LOSSES[shape])
    assert p_value(estimates, exact) > 1e-4
    assert p_value(estimates, 1.01 * exact) < 1e-4


@pytest.mark.parametrize("shape", ["quadratic", pytest.param("linear", marks=pytest.mark.slow)])
def test_gumbel_rao_has_the_mean_of_straight_through_gumbel_for_every_m_and_less_variance(shape: str):
    """Two samples of 100,000 draws; power: the estimator differentiated through its noise is refused at the
    same threshold."""
    found = {
        m: sample_gradients(
            ["attention=gumbel_rao", "attention.temperature=0.5", f"attention.samples={m}"],
            THETA,
            KNOWN_LOSSES[shape],
            100_000,
            seed=m,
        )
        for m in (1, 2, 10)
    }
    single = sample_gradients(
        ["attention=gumbel_straight_through", "attention.temperature=0.5"],
        THETA,
        KNOWN_LOSSES[shape],
        100_000,
        seed=9,
    )
    for estimates in found.values():
        assert p_value(estimates - single, torch.zeros(8, dtype=torch.float64)) > 1e-4
    spread = {m: estimates.var(0).sum().item() for m, estimates in found.items()}
    assert spread[10] < 0.9 * spread[2] < 0.8 * spread[1]


@pytest.mark.parametrize("shape", KNOWN_LOSSES)
def test_differentiating_gumbel_rao_through_its_noise_is_refused_by_the_same_test(
    shape: str, monkeypatch: pytest.MonkeyPatch
):
    overrides = ["attention=gumbel_rao", "attention.temperature=0.5", "attention.samples=10"]
    right = sample_gradients(overrides, THETA, KNOWN_LOSSES[shape], 20_000, seed=1)
    monkeypatch.setattr(gumbel, "reparametrised", gumbel.perturbed)
    wrong = sample_gradients(overrides, THETA, KNOWN_LOSSES[shape], 20_000, seed=2)
    assert wrong.var(0).sum() < 0.2 * right.var(0).sum()  # a deceptively small variance
    assert p_value(wrong - right, torch.zeros(8, dtype=torch.float64)) < 1e-10


# computed outside this project: cosine of the mean with the exact gradient, its relative error, relative
# variance
KNOWN = [
    ("gumbel_softmax", 1.0, 1, "linear", 0.9951, 0.3352, 0.342),
    ("gumbel_softmax", 1.0, 1, "quadratic", 0.9874, 0.3470, 0.427),
    ("gumbel_softmax", 0.5, 1, "quadratic", 0.9941, 0.1398, 2.105),
    ("gumbel_straight_through", 1.0, 1, "quadratic", 0.9864, 0.3207, 1.028),
    ("gumbel_straight_through", 0.5, 1, "quadratic", 0.9948, 0.1264, 3.823),
    ("gumbel_rao", 0.5, 10, "linear", 0.9995, 0.1146, 0.503),
    ("gumbel_rao", 0.5, 10, "quadratic", 0.9951, 0.1270, 1.645),
    ("rebar", 0.5, 1, "linear", 1.0, 0.0, 3.349),
    ("rebar", 0.5, 1, "quadratic", 1.0, 0.0, 4.597),
]


@pytest.mark.parametrize(
    ("name", "temperature", "samples", "shape", "cosine", "error", "variance"),
    [pytest.param(*known, marks=[] if known[:2] == ("rebar", 0.5) else pytest.mark.slow) for known in KNOWN],
)
def test_bias_and_variance_are_the_known_ones(
    name: str, temperature: float, samples: int, shape: str, cosine: float, error: float, variance: float
):
    more = [f"attention.samples={samples}"] if name == "gumbel_rao" else []
    overrides = [f"attention={name}", f"attention.temperature={temperature}", *more]
    estimates = sample_gradients(overrides, THETA, KNOWN_LOSSES[shape], 200_000)
    exact = exact_gradient(THETA, KNOWN_LOSSES[shape])
    mean = estimates.mean(0)
    assert torch.nn.functional.cosine_similarity(mean, exact, 0).item() == pytest.approx(cosine, abs=1e-3)
    assert ((mean - exact).norm() / exact.norm()).item() == pytest.approx(error, abs=0.01)
    assert (estimates.var(0).sum() / exact.square().sum()).item() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("variant", STRAIGHT, ids=str)
def test_straight_through_gumbel_is_exact_in_the_mean_for_affine_losses_when_the_temperature_is_low(
    variant: Variant,
):
    overrides = [f"attention={variant.name}", "attention.temperature=0.05"]
    if "samples" in variant.settings:
        overrides.append(f"attention.samples={variant.settings['samples']}")
    estimates = sample_gradients(overrides, THETA, KNOWN_LOSSES["linear"], 300_000, seed=2)
    exact = exact_gradient(THETA, KNOWN_LOSSES["linear"])
    error = (estimates.var(0).sum() / len(estimates)).sqrt()
    assert (estimates.mean(0) - exact).norm() < 5 * error


# --- edges ---


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("variant", [v for v in variants() if v.name in CONTINUOUS], ids=str)
def test_masked_positions_have_no_weight_and_no_gradient_at_low_temperature(
    variant: Variant, dtype: torch.dtype
):
    mechanism = variant.build(temperature=0.1)
    for part in mechanism[:3]:
        part.to(dtype)
    scores, mask, _ = problem()
    scores = scores.detach().to(dtype).requires_grad_()
    selection = select(mechanism, scores, mask, torch.full((1, 1, 1), -1), seed=4)
    assert selection.weights.dtype == dtype
    assert (selection.weights.masked_select(~mask) == 0).all()
    costs = normal(B, T, S, seed=2).to(dtype)
    losses = (selection.weights * costs).sum(-1).exp()
    valid = torch.ones(B, T, dtype=torch.bool)
    surrogate = surrogate_of(mechanism, losses, selection, valid, torch.zeros(B, T, 1, dtype=dtype))
    (gradient,) = torch.autograd.grad(surrogate.loss.sum(), scores)
    assert torch.isfinite(gradient).all() and (gradient.masked_select(~mask) == 0).all()
    assert (gradient[2].abs() < 1e-6).all()  # a single position


def test_noise_of_a_masked_position_stays_finite():
    log_probs = torch.tensor([[[0.0, lowest(torch.float32)]]])
    position, noise = torch.zeros(1, 1, 1, dtype=torch.long), torch.full((1, 1, 1, 2), 1e-30)
    assert torch.isfinite(gumbel.perturbed(position, log_probs, noise)).all()


def test_the_sources_of_the_model_tests_are_padded():
    assert (SOURCE == PAD).any() and (TARGET == PAD).any()
