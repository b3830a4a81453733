"""attnlab: hard and soft attention, from argmax and softargmax to certified gradient estimators."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.building import build

__all__ = ["build"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "build":  # torch is imported when it is needed: configurations are checked without it
        from attnlab.building import build

        return build
    raise AttributeError(f"module 'attnlab' has no attribute {name!r}")
