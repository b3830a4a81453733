"""What a mechanism is: the one record from which help, tables, tests and the microscope read.

It stands above the mechanism's factory in constants, so that it is read without importing torch.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Objective = Literal["soft", "expected", "marginal"]
Needs = Literal["value", "gradient", "mixture"]


def _sum(words: Any) -> Any:
    if not re.fullmatch(r"\w+( \+ \w+)*", str(words)) or isinstance(words, bool):
        raise ValueError("must be a number or a sum that names settings, such as 'samples + 1'")
    return words


Number = Annotated[Any, AfterValidator(_sum)]


class Facts(BaseModel):
    """`@Facts(...)` above a factory: what its mechanism follows, costs and asks of the loss, and who says so.

    A number may be a sum that names settings of the factory, as "samples + 1"; S is the number of source
    positions. Raises ValueError for facts that there cannot be.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    paper: str = Field(min_length=1)
    """Who proposed it, and when."""
    objective: Objective
    """The loss whose gradient is estimated: `soft` at the averaged value, `expected` over choices (Xu et al.
    2015), `marginal` -log of the expected probability (Deng et al. 2018)."""
    unbiased: bool
    """Whether the mean of its estimates is the gradient of that objective."""
    needs: Needs
    """What it asks of the loss: its `value` at single positions, its `gradient` there, or its value at a
    `mixture` of values."""
    evaluations: Number
    """How often the loss is computed for one estimate."""
    bound: Number = 0
    """Draws of the lower bound that is followed in place of the marginal itself (Burda et al. 2016); 0 = no
    bound."""

    def at(self, settings: Mapping[str, Any], controls: Sequence[str] = ()) -> "Facts":
        """The facts of a mechanism with these settings, whose baseline reads so many controls: each is one
        more evaluation of the loss, that of the averaged value at a mixture."""
        more = f"{self.evaluations} + {len(controls)}" if controls else self.evaluations
        needs = "mixture" if "soft" in controls else self.needs
        stated = {"evaluations": more, "needs": needs, "bound": number(self.bound, settings)}
        return Facts(**{**self.model_dump(), **stated})

    def __call__(self, factory: Callable[..., Any]) -> Callable[..., Any]:
        """The factory, whose mechanisms now have these facts."""

        @functools.wraps(factory)
        def stated(*given: Any, **settings: Any) -> Any:
            defaults = getattr(factory, "__kwdefaults__", None) or {}
            made = factory(*given, **settings)
            controls = getattr(made.selector, "controls", ())
            return made._replace(facts=self.at({**defaults, **settings}, controls))

        return stated


USAGE = (
    f"@Facts({', '.join(f'{name}=...' for name, field in Facts.model_fields.items() if field.is_required())})"
)
"""What is written above a factory at least."""


def number(words: int | str, settings: Mapping[str, Any]) -> int:
    """The value of a sum of numbers and names of settings, such as "samples + 1"."""
    return sum(int(settings.get(part, part)) for part in str(words).split(" + "))
