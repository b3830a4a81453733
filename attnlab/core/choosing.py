"""The chooser that a model is handed: what training, an exam or a measurement takes at each site; and what
choices become once the symbols before them are known."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab.core.interfaces import AttentionInput, Choose, Pass, Placement, Selection, Selector
from attnlab.randomness import Randomness


def choosing(
    selector: Selector,
    randomness: Randomness,
    sites: Mapping[str, Placement],
    gold: Bool[Tensor, "B #T S"],
    informed: Mapping[str, Float[Tensor, "1 B *H T S"]] = MappingProxyType({}),
) -> Choose:
    """One selector at every site. It sees the right positions of the batch where a site is aligned with
    them, and scores that have seen the target where there are some."""

    def choose(site: str, inputs: AttentionInput) -> Selection:
        if site in informed:
            scores = informed[site].index_select(-2, inputs.step).masked_fill(~inputs.mask, -torch.inf)
            inputs = inputs._replace(informed=scores)
        if sites[site].aligned:
            known = at(gold, inputs.step)[None]
            heads = inputs.scores.ndim - known.ndim  # further axes of the site, which all are shown the same
            inputs = inputs._replace(gold=known[(slice(None),) * 2 + (None,) * heads])
        return selector(inputs, randomness)

    return choose


def at(gold: Bool[Tensor, "B #T S"], step: Int[Tensor, "N"]) -> Bool[Tensor, "B #N S"]:
    """The right positions of some target steps; none is known behind the last step."""
    if gold.size(1) == 1:
        return gold
    return torch.nn.functional.pad(gold, (0, 0, 0, 1))[:, step.clamp_max(gold.size(1))]


def in_turn(
    selector: Selector, taken: Pass, earlier: Float[Tensor, "#K B T"], before: Pass | None = None
) -> Pass:
    """A pass whose every choice is given what came before it: the loss of the symbol before each step, and
    the step before the first, None at the start."""
    sites = {}
    for name, site in taken.sites.items():
        selection = None if before is None else before.sites[name].selection
        sites[name] = site._replace(selection=selector.given(site.selection, earlier, selection))
    return taken._replace(sites=sites)


def before_each(losses: Float[Tensor, "K B T"]) -> Float[Tensor, "K B T"]:
    """The loss of the step before each; 0 before the first."""
    return torch.nn.functional.pad(losses[..., :-1], (1, 0))
