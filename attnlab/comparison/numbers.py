"""Numbers as people read them, and as predictions are held to them."""

NEAR = 2.0
"""The factor within which a prediction is called right."""


def near(predicted: float, measured: float) -> bool:
    """Whether a prediction is right within that factor, either way."""
    return 1 / NEAR <= predicted / measured <= NEAR


def figure(value: float | None, signed: bool = False) -> str:
    """A figure: four decimals, or two significant digits where it is small; `-` where there is none."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if abs(value) >= 1e6:
        return f"{value:{sign}.3g}"
    if abs(value) >= 1000:
        return f"{value:{sign},.0f}"
    if abs(value) >= 100:
        return f"{value:{sign}.1f}"
    return f"{value:{sign}.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:{sign}.2g}"


def between(lower: float | None, upper: float | None, signed: bool = False) -> str:
    """An interval."""
    return "-" if lower is None else f"[{figure(lower, signed)}, {figure(upper, signed)}]"


def whole(value: int | float | None) -> str:
    """A count or a duration: no more decimals than it deserves."""
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
