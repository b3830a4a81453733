"""Numbers that move with the training step: beta and temperatures. The value is a function of the step, also
on resuming."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.settings import Movement


class Scheduled(nn.Module):
    """A positive number, kept as a 0-dim buffer outside of checkpoints. With x = min(step / steps, 1):

    constant: start.  linear: start + x (end - start).  exponential: start (end / start)^x.
    """

    value: Tensor

    def __init__(
        self,
        start: float,
        schedule: Movement = "constant",
        end: float | None = None,
        steps: int | None = None,
        name: str = "value",
    ):
        super().__init__()
        if not all(number is None or number > 0 for number in (start, end)):
            limits = "; beta -> 0 is uniform, beta -> inf is argmax" if name == "beta" else ""
            raise ValueError(
                f"{name} must be positive, got {start if end is None or start <= 0 else end}{limits}"
            )
        if schedule == "constant" and (end is not None or steps is not None):
            raise ValueError(
                f"{name}_schedule=constant leaves {name} where it is, got {name}_end={end} and "
                f"{name}_steps={steps}; "
                "linear and exponential move it"
            )
        if schedule != "constant" and (end is None or steps is None):
            raise ValueError(
                f"{name}_schedule={schedule} moves {name} to {name}_end over {name}_steps training "
                "steps and needs both, "
                f"got {name}_end={end} and {name}_steps={steps}"
            )
        self.start, self.schedule = start, schedule
        self.end, self.steps = start if end is None else end, steps or 1
        self.register_buffer("value", torch.tensor(float(start)), persistent=False)  # a function of the step

    def at(self, step: int) -> float:
        """The number after so many training steps."""
        share = min(step / self.steps, 1.0)
        if self.schedule == "exponential":
            return self.start * (self.end / self.start) ** share
        return self.start + share * (self.end - self.start)

    def move(self, step: int) -> None:
        """Take the value that holds after so many training steps; called by training between steps, never in
        `forward`."""
        self.value.fill_(self.at(step))

    def forward(self) -> Float[Tensor, ""]:
        return self.value


def scheduled(name: str, settings: Mapping[str, Any]) -> Scheduled:
    """From the settings `name`, `name_schedule`, `name_end` and `name_steps`."""
    return Scheduled(
        settings[name], *(settings[f"{name}_{part}"] for part in ("schedule", "end", "steps")), name=name
    )


def scheduled_in(module: nn.Module) -> dict[str, Scheduled]:
    """Everything scheduled inside a module, by its name there (beta, temperature), with as much of the path
    in front as tells it from the others."""
    found = {path: part for path, part in module.named_modules() if isinstance(part, Scheduled)}
    return {_shortest(path, found): part for path, part in found.items()}


def _shortest(path: str, paths: Collection[str]) -> str:
    """The shortest end of a path that no other path has."""
    parts = path.split(".")
    ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
    alone = (end for end in ends if sum(f".{other}".endswith(f".{end}") for other in paths) == 1)
    return next(alone, path)


def move_all(module: nn.Module, step: int) -> None:
    """Move everything scheduled inside a module to what holds after so many steps."""
    for part in scheduled_in(module).values():
        part.move(step)
