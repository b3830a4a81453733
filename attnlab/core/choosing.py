"""The chooser that a model is handed: what training, an exam or a measurement takes at each site."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from attnlab.core.interfaces import AttentionInput, Choose, Placement, Selection, Selector
from attnlab.randomness import Randomness


def choosing(
    selector: Selector,
    randomness: Randomness,
    sites: Mapping[str, Placement],
    gold: Bool[Tensor, "B #T S"],
) -> Choose:
    """One selector at every site. It sees the right positions of the batch where a site is aligned with
    them."""

    def choose(site: str, inputs: AttentionInput) -> Selection:
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
