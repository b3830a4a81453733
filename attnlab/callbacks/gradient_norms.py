"""Gradient norms of the whole model and its parts, before and after clipping."""

from typing import Any

from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from attnlab.training import Training


class GradientNorms(Callback):
    """grad_norm/{encoder,attention,decoder,total} before clipping and grad_norm/clipped after it, on logged
    steps.

    Each is the Euclidean norm over all parameters of the part; a part without parameters has norm 0.
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if pl_module.logs_next_step():
            parts = {"total": pl_module.model} | dict(pl_module.model.named_children())
            self.norms = {f"grad_norm/{name}": norm(part) for name, part in parts.items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Training, *args: Any) -> None:
        if self.norms:
            pl_module.record(self.norms | {"grad_norm/clipped": norm(pl_module.model)})
            self.norms = {}


def norm(module: nn.Module) -> float:
    """Euclidean norm of the gradient of all parameters of a module."""
    gradients: list[Tensor] = [
        parameter.grad for parameter in module.parameters() if parameter.grad is not None
    ]
    return get_total_norm(gradients).item() if gradients else 0.0
