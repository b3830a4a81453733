"""Optimizers and learning-rate schedules: what `optimizer=NAME` picks, as a function of parameters and steps
to come."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from attnlab.settings import NonNegative, Positive, Probability, Schedule

Configure = Callable[[Iterable[Parameter], float, int], dict[str, Any]]
"""(parameters, steps of the whole run, batches an epoch) -> what Lightning's `configure_optimizers`
returns."""

_LOWEST_LR = 1e-5  # where halving stops


def adam(*, lr: Positive, schedule: Schedule, weight_decay: NonNegative, fused: bool) -> Configure:
    """AdamW (Loshchilov & Hutter 2019); with weight_decay 0 it is Adam (Kingma & Ba 2015)."""

    def configure(parameters: Iterable[Parameter], steps: float, epoch: int) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
        return {"optimizer": optimizer, **_scheduled(optimizer, schedule, steps)}

    return configure


def sgd(*, lr: Positive, schedule: Schedule, weight_decay: NonNegative, momentum: Probability) -> Configure:
    """Stochastic gradient descent with momentum."""

    def configure(parameters: Iterable[Parameter], steps: float, epoch: int) -> dict[str, Any]:
        optimizer = torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=momentum)
        return {"optimizer": optimizer, **_scheduled(optimizer, schedule, steps)}

    return configure


def _scheduled(optimizer: Optimizer, schedule: Schedule, steps: float) -> dict[str, Any]:
    """constant; linear to 0 at the last step; or half as much after every validation whose val/nll is not
    the lowest so far."""
    if schedule == "constant":
        return {}
    if schedule == "linear":
        if steps == float("inf"):
            raise ValueError(
                "optimizer.schedule=linear needs an end: set trainer.max_steps or trainer.max_epochs"
            )
        scheduler = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.0, min_lr=_LOWEST_LR)
    return {"lr_scheduler": {"scheduler": plateau, "monitor": "val/nll", "strict": False}}


def clip(parameters: Iterable[Parameter], value: float | None, algorithm: str | None) -> None:
    """Shorten the gradients of some parameters together to a norm (`norm`) or limit each entry (`value`);
    leave them where the value is None."""
    parameters = list(parameters)
    if value and parameters:
        shorten = clip_grad_value_ if algorithm == "value" else clip_grad_norm_
        shorten(parameters, value)
