"""Explicit randomness: every draw is a function of (seed, what it is for, step), so a run can be repeated bit
for bit."""

import contextlib
import hashlib
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab import functional


class Randomness:
    """Where draws come from. A test that forces outcomes hands in another one."""

    def __init__(self, generator: torch.Generator | None):  # None: torch's global one
        self.generator = generator

    @property
    def state(self) -> Tensor:
        """Of its generator: the same before and after where nothing was drawn."""
        return torch.get_rng_state() if self.generator is None else self.generator.get_state()

    def noise(self, like: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Independent Exp(1) noise for every entry, in float32 at least; -log of it is Gumbel(0, 1) noise."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        uniform = torch.empty(like.shape, dtype=dtype, device=like.device).uniform_(generator=self.generator)
        # a uniform 0 stands for what is below its resolution; log(0) would pick masked positions
        return uniform.neg_().log1p_().neg_().clamp_min_(torch.finfo(dtype).eps / 4)

    def position(self, log_probs: Float[Tensor, "*shape S"]) -> Int[Tensor, "*shape"]:
        """One position a row by the Gumbel-max trick, argmax_s log p_s + G_s."""
        return self._perturbed(log_probs).argmax(-1)

    def positions(self, log_probs: Float[Tensor, "*shape S"], size: int) -> Bool[Tensor, "*shape S"]:
        """A set of `size` positions a row, drawn without replacement: those of the largest log p_s + G_s."""
        chosen = self._perturbed(log_probs).topk(size, -1).indices
        return torch.zeros_like(log_probs, dtype=torch.bool).scatter(-1, chosen, True)

    def _perturbed(self, log_probs: Tensor) -> Tensor:
        noise = self.noise(log_probs)
        return log_probs.to(noise.dtype) - noise.log_()


def derive(seed: int, *purpose: str | int) -> int:
    """A seed of its own for each purpose: `derive(0, "train", 17)`. Different purposes give unrelated
    streams."""
    digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator at the start of the stream `derive(seed, *purpose)`."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))


def seed_layers(seed: int, device: torch.device) -> None:
    """Seed torch's global generator of a device, from which layers draw that are handed none.

    For the processor, `torch.manual_seed` would do more: at every call it keeps a traceback for each kind of
    accelerator that was never used, which takes longer than a small layer and is never freed.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextlib.contextmanager
def part() -> Iterator[None]:
    """Within it, torch's global generator runs a stream of its own, whose seed it drew; behind it, it stands
    that one draw further, whatever was drawn within. So no part of a model moves the start of another."""
    seed = int(torch.randint(2**63 - 1, (), device="cpu"))  # also where parameters are only outlined
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def draw(log_probs: Float[Tensor, "*shape S"], randomness: Randomness) -> Int[Tensor, "*shape"]:
    """One position a row, independently; -1, no position, where nothing may be attended."""
    log_probs = log_probs.detach()
    nothing = log_probs.amax(-1) <= functional.lowest(log_probs.dtype)
    return randomness.position(log_probs).masked_fill(nothing, -1)


def one_hot(position: Int[Tensor, "*B"], like: Float[Tensor, "*C S"]) -> Float[Tensor, "*B S"]:
    """One-hot vectors (..., S) of positions (...), in the dtype of `like` and as long as its last axis; zeros
    for -1."""
    return (position[..., None] == torch.arange(like.size(-1), device=like.device)).to(like.dtype)


def log_prob_of(
    position: Int[Tensor, "K *shape"], log_probs: Float[Tensor, "#K *shape S"]
) -> Float[Tensor, "K *shape"]:
    """log p of positions under log_probs; 0 for -1."""
    each = log_probs.expand(len(position), *log_probs.shape[1:])
    return each.gather(-1, position[..., None].clamp_min(0)).squeeze(-1).masked_fill(position < 0, 0.0)


def dropout(
    x: Float[Tensor, "*shape"], rate: float, generator: torch.Generator | None
) -> Float[Tensor, "*shape"]:
    """Each entry 0 with probability `rate`, else divided by 1 - rate; the noise comes from the generator."""
    if rate == 0:
        return x
    keep = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * keep / (1 - rate)
