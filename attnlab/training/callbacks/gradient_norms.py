"""Gradient norms of the whole model and its parts, before and after clipping."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from attnlab.training.lightning_module import Training

ONE, _MEAN, _LAST = "grad_norm/", "grad_norm_mean/", "grad_norm_last/"


class GradientNorms(Callback):
    """grad_norm/{encoder,attention,decoder,total} before clipping and grad_norm/clipped after it, on logged
    steps, and under grad_norm_mean/ the mean of each over the logged steps so far.

    Each is the Euclidean norm over all parameters of the part; a part without parameters has norm 0.
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}
        self.sums: dict[str, float] = {}
        self.steps = 0

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.sums, self.steps = dict(state_dict["sums"]), state_dict["steps"]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if pl_module.logs_next_step():
            parts = {"total": pl_module.model} | dict(pl_module.model.named_children())
            self.norms = {f"grad_norm/{name}": norm(part) for name, part in parts.items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Training, *args: Any) -> None:
        if self.norms:
            now = self.norms | {"grad_norm/clipped": norm(pl_module.model)}
            self.norms = {}
            self.sums = {tag: self.sums.get(tag, 0.0) + value for tag, value in now.items()}
            self.steps += 1
            means = {tag.replace(ONE, _MEAN): total / self.steps for tag, total in self.sums.items()}
            pl_module.record(now | means)


def over_training(figures: Mapping[str, float]) -> dict[str, float]:
    """Of a trained run: grad_norm/*, the mean over its logged steps, and grad_norm_last/*, the last one.

    One batch's norm is mostly noise; the mean is what compares.
    """
    means = {tag.replace(_MEAN, ONE): value for tag, value in figures.items() if tag.startswith(_MEAN)}
    return means | {tag.replace(ONE, _LAST): value for tag, value in figures.items() if tag.startswith(ONE)}


def norm(module: nn.Module) -> float:
    """Euclidean norm of the gradient of all parameters of a module."""
    gradients: list[Tensor] = [
        parameter.grad for parameter in module.parameters() if parameter.grad is not None
    ]
    return get_total_norm(gradients).item() if gradients else 0.0
