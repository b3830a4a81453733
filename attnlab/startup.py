"""Commands start without what no run uses: torchmetrics, of which Lightning needs one class, imports SciPy
and Matplotlib wherever they are installed, which takes half as long as torch and Lightning themselves."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any
from unittest.mock import patch

SPARED = ("matplotlib", "scipy")
"""What torchmetrics is not told of while it is imported, and whoever imports it goes on finding. Only its
plots need one of them that early, and are lost to a user's own code that runs in a command."""


def spare() -> None:
    """From now on, in this process, torchmetrics is imported as if SPARED were not installed."""
    if "torchmetrics" not in sys.modules and not any(isinstance(one, _Sparing) for one in sys.meta_path):
        sys.meta_path.insert(0, _Sparing())


class _Sparing(MetaPathFinder):
    """Finds torchmetrics alone, as Python does, and stands aside while it is executed."""

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:  # the path of a namespace package is no Sequence
        if fullname != "torchmetrics":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            setattr(spec.loader, "exec_module", _sparing(spec.loader.exec_module))  # noqa: B010
        return spec


def _sparing(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def executed(module: ModuleType) -> None:
        with _untold():
            execute(module)

    return executed


@contextmanager
def _untold() -> Iterator[None]:
    """While this holds, Lightning's utilities say of SPARED that they are not installed."""
    from lightning_utilities.core import imports
    from packaging.requirements import Requirement

    found, available = imports.RequirementCache.__bool__, imports.package_available

    def met(cache: imports.RequirementCache) -> bool:
        name = Requirement(cache.requirement).name if cache.requirement else ""
        return name not in SPARED and found(cache)

    with (
        patch.object(imports.RequirementCache, "__bool__", met),
        patch.object(imports, "package_available", lambda name: name not in SPARED and available(name)),
    ):
        yield
