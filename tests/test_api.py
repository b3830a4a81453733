"""The door beside torch's own attention: soft is torch's, every mechanism trains what is behind it."""

import pytest
import torch
from enumeration import names
from seldom import seldom
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import attnlab
from attnlab.config.checking import ConfigurationError

SHAPES = {"a row": (), "a batch": (2,), "heads": (2, 3)}


def tensors(leading: tuple[int, ...]) -> list[Tensor]:
    seeded = torch.Generator().manual_seed(0)
    sizes = ((4, 7), (5, 7), (5, 6))
    made = [torch.randn(*leading, *size, generator=seeded, dtype=torch.float64) for size in sizes]
    return [tensor.requires_grad_() for tensor in made]


def mask_of(kind: str, leading: tuple[int, ...]) -> Tensor | None:
    open_ = torch.ones(*leading, 1, 5, dtype=torch.bool)
    open_[..., 3:] = False
    return {"none": None, "bool": open_, "added": torch.zeros(4, 5).masked_fill(~open_, -torch.inf).double()}[
        kind
    ]


@pytest.mark.parametrize("mask", ["none", "bool", "added"])
@pytest.mark.parametrize("shape", SHAPES)
def test_soft_is_the_function_of_torch_in_value_and_gradient(shape: str, mask: str) -> None:
    given, allowed = tensors(SHAPES[shape]), mask_of(mask, SHAPES[shape])
    theirs = scaled_dot_product_attention(*given, attn_mask=allowed)
    ours = attnlab.attention(*given, attn_mask=allowed, mechanism="soft")
    torch.testing.assert_close(ours.output[0], theirs, rtol=1e-12, atol=1e-12)
    weights = torch.linspace(-1, 1, theirs.numel(), dtype=torch.float64).view(theirs.shape)
    losses = (ours.output * weights).sum(-1)
    found = torch.autograd.grad(ours.surrogate(losses).sum(), given)
    for one, other in zip(found, torch.autograd.grad((theirs * weights).sum(), given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", seldom(SHAPES, [*SHAPES][-1]))
@pytest.mark.parametrize("name", names("attention"))
def test_every_mechanism_gives_losses_of_one_shape_and_trains_what_is_behind(name: str, shape: str) -> None:
    given = tensors(SHAPES[shape])
    read = attnlab.attention(*given, mechanism=name, generator=torch.Generator().manual_seed(1))
    assert read.output.shape[1:] == (*SHAPES[shape], 4, 6)
    again = attnlab.attention(*given, mechanism=name, generator=torch.Generator().manual_seed(1))
    assert again.output.equal(read.output)
    surrogate = read.surrogate((read.output - 1).square().mean(-1))
    assert surrogate.shape == (*SHAPES[shape], 4)
    query, key, value = torch.autograd.grad(surrogate.sum(), given, allow_unused=True)
    assert value.abs().sum() > 0
    if name not in ("uniform", "oracle"):
        assert query.abs().sum() > 0 and key.abs().sum() > 0


def test_the_mean_of_an_estimate_is_the_gradient_of_the_expected_loss() -> None:
    """Over every pair of draws of one row and step; steps that are not valid have none."""
    query, key, value = (x[..., :1, :] if i == 0 else x for i, x in enumerate(tensors((1,))))
    mechanism = attnlab.mechanism("hard_exact")
    read = attnlab.attention(query, key, value, mechanism=mechanism)
    exact = torch.autograd.grad(read.surrogate(read.output.sum(-1).exp()).sum(), key)[0]
    probs = torch.softmax(query @ key.transpose(-1, -2) * 7**-0.5, -1)[0, 0]
    by_hand = torch.autograd.grad((probs * value[0].sum(-1).exp()).sum(), key)[0]
    torch.testing.assert_close(exact, by_hand, rtol=1e-12, atol=1e-12)
    none = torch.zeros(1, 1, dtype=torch.bool)
    assert (
        attnlab.attention(query, key, value, mechanism=mechanism)
        .surrogate(torch.ones(5, 1, 1, dtype=torch.float64), none)
        .equal(torch.zeros(1, 1, dtype=torch.float64))
    )


def test_a_learned_baseline_reads_queries_and_is_trained() -> None:
    mechanism = attnlab.mechanism("hard_reinforce", query_size=7, baseline="learned", samples=1)
    read = attnlab.attention(*tensors((2,)), mechanism=mechanism)
    read.surrogate(read.output.square().sum(-1)).sum().backward()
    assert all(parameter.grad is not None for parameter in mechanism.estimator.parameters())
    narrow = attnlab.mechanism("hard_reinforce", baseline="learned")
    read = attnlab.attention(*tensors((2,)), mechanism=narrow)
    with pytest.raises(
        ValueError, match=r"queries of width 1, got 7; attnlab.mechanism\(..., query_size=7\)"
    ):
        read.surrogate(read.output.square().sum(-1))


def test_settings_are_checked_as_on_the_command_line() -> None:
    with pytest.raises(ConfigurationError, match="samples"):
        attnlab.mechanism("hard_reinforce", samples=0)
    with pytest.raises(ConfigurationError, match="hard_reinforce"):
        attnlab.mechanism("hard_reinforc")
    with pytest.raises(ValueError, match=r"losses must be .* \(4, 2, 4\), got \(2, 4\)"):
        attnlab.attention(*tensors((2,)), mechanism="hard_reinforce").surrogate(torch.zeros(2, 4))


def test_the_package_shows_the_few_names_that_a_person_needs() -> None:
    assert dir(attnlab) == ["attention", "build", "certify", "functional", "load", "mechanism"]
    assert all(getattr(attnlab, name) for name in dir(attnlab))
