"""attnlab: hard and soft attention, from argmax and softargmax to certified gradient estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab import functional
    from attnlab.api import attention, mechanism
    from attnlab.building import build
    from attnlab.certification import certify
    from attnlab.runs.predicting import load

__all__ = ["attention", "build", "certify", "functional", "load", "mechanism"]
__version__ = "0.1.0"

_HOMES = {
    "attention": "api",
    "build": "building",
    "certify": "certification",
    "load": "runs.predicting",
    "mechanism": "api",
}


def __getattr__(name: str) -> Any:
    """torch is imported when it is needed: configurations are checked without it."""
    if name in _HOMES:
        return getattr(import_module(f"attnlab.{_HOMES[name]}"), name)
    if name == "functional":
        return import_module("attnlab.functional")
    raise AttributeError(f"module 'attnlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
