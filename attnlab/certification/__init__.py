"""Anyone's gradient estimator held against exact gradients: a verdict with its evidence."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnlab.certification.certificate import Certificate
    from attnlab.certification.certifying import certify
    from attnlab.certification.problems import answers

__all__ = ["Certificate", "answers", "certify"]

_HOMES = {"Certificate": "certificate", "answers": "problems", "certify": "certifying"}


def __getattr__(name: str) -> Any:
    """torch is imported when it is needed: what is typed is refused without it."""
    if name in _HOMES:
        return getattr(import_module(f"attnlab.certification.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'attnlab.certification' has no attribute {name!r}")
