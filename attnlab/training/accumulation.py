"""Several batches as one optimizer step: which belong together, and their losses as those of one batch."""

import math
from collections.abc import Sequence
from itertools import accumulate

from jaxtyping import Bool, Float
from torch import Tensor


def group(index: int, together: int, batches: int) -> range:
    """The batches of an epoch that share an optimizer step with one of them; the last step of an epoch may
    have fewer."""
    first = index - index % together
    return range(first, min(first + together, batches))


def joined(
    parts: Sequence[tuple[Float[Tensor, "_ _ _"], Bool[Tensor, "_ _"]]],
) -> tuple[Float[Tensor, "K B T"], Bool[Tensor, "B T"]]:
    """Losses (K B T) and valid steps (B T) of several batches as those of one.

    Batches with fewer steps are padded with steps that are not valid; alternatives that a batch did not have
    are NaN.
    """
    if len(parts) == 1:
        return parts[0]
    most, longest = (max(losses.size(axis) for losses, _ in parts) for axis in (0, 2))
    rows = sum(len(valid) for _, valid in parts)
    all_losses = parts[0][0].new_zeros(most, rows, longest)
    all_valid = parts[0][1].new_zeros(rows, longest)
    for (losses, valid), last in zip(parts, accumulate(len(valid) for _, valid in parts), strict=True):
        place = slice(last - len(valid), last)
        all_losses[: len(losses), place, : losses.size(2)] = losses
        all_losses[len(losses) :, place] = math.nan
        all_valid[place, : valid.size(1)] = valid
    return all_losses, all_valid
