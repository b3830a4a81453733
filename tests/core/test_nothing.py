"""Where nothing may be attended, nothing is read and nothing gets a gradient, whatever the mechanism."""

import pytest
import torch
from enumeration import Variant, surrogate_of, variants
from torch import Tensor

from attnlab.core.attention import Attention
from attnlab.core.choosing import choosing
from attnlab.core.evaluation import RULES
from attnlab.core.interfaces import Mechanism, Placement, Selection, Selector
from attnlab.core.scores import Dot
from attnlab.models.model import predict
from attnlab.randomness import Randomness

B, T, S, D = 3, 2, 5, 7
VARIANTS = variants()
MASKS = {"a source": torch.ones(B, 1, S, dtype=torch.bool), "a step": torch.ones(B, T, S, dtype=torch.bool)}
MASKS["a source"][1], MASKS["a source"][2, 0, 3:] = False, False
MASKS["a step"][1, 1], MASKS["a step"][1, 0, 2:], MASKS["a step"][2, 1, 1] = False, False, False


def read(
    mechanism: Mechanism, kind: str, rule: Selector | None = None
) -> tuple[Tensor, Selection, list[Tensor]]:
    """Losses K B T, selection and leaves (query, keys, values) of a batch that may attend nothing in row 1,
    step 1."""
    mask, seeded = MASKS[kind], [torch.Generator().manual_seed(seed) for seed in range(3)]
    query = torch.randn(B, T, D, generator=seeded[0], dtype=torch.float64)
    states = torch.randn(B, S, D, generator=seeded[1], dtype=torch.float64)
    states[~mask.any(1)] = 1e3  # what lies in padding may be anything
    query, keys, values = (leaf.clone().requires_grad_() for leaf in (query, states, states))
    attention = Attention(Dot(0.3), mechanism.selector)
    chooser = choosing(
        rule or mechanism.selector, Randomness(seeded[2]), {"attention": Placement(D)}, torch.zeros_like(mask)
    )
    context, selection = attention(query[None], attention.memory(keys, values, mask), chooser)
    context, weights = (part.expand(-1, B, T, -1) for part in (context, selection.weights))
    for part in (context[:, 1, 1], weights[:, 1, 1], selection.probs[0, 1, 1]):
        assert (part == 0).all()
    assert all(part.isfinite().all() for part in selection)
    mass = selection.mass.expand(-1, B, T).sum(0)
    torch.testing.assert_close(mass, torch.ones(B, T, dtype=torch.float64))
    return (context - 1).square().mean(-1), selection, [query, keys, values]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_in_training_the_loss_there_is_that_of_reading_nothing_and_reaches_nothing(
    kind: str, variant: Variant
):
    mechanism = variant.build()
    losses, selection, leaves = read(mechanism, kind)
    valid, state = torch.ones(B, T, dtype=torch.bool), torch.zeros(B, T, 1, dtype=torch.float64)
    loss = surrogate_of(mechanism, losses, selection, valid, state).loss
    assert loss.isfinite().all() and loss[1, 1].item() == pytest.approx(1.0)  # (0 - 1)^2
    for gradient in torch.autograd.grad(loss[1, 1], leaves, retain_graph=True, materialize_grads=True):
        assert (gradient == 0).all()
    of_keys, of_values = torch.autograd.grad(loss.sum(), leaves[1:], materialize_grads=True)
    hidden = ~MASKS[kind].any(1)
    assert (of_values[hidden] == 0).all() and (of_keys[hidden] == 0).all() and of_values.isfinite().all()


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", sorted({variant.name for variant in VARIANTS}))
def test_at_evaluation_what_is_predicted_there_is_what_reading_nothing_predicts(
    kind: str, rule: str, name: str
):
    mechanism = next(variant for variant in VARIANTS if variant.name == name).build()
    losses, selection, _ = read(mechanism, kind, RULES[rule](mechanism.distribution))
    logits = torch.stack([losses, 2 - losses], -1)
    log_probs = predict(logits, selection.mass)
    assert log_probs.isfinite().all()
    assert log_probs[1, 1].tolist() == pytest.approx(torch.ones(2).log_softmax(0).tolist())
