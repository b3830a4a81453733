"""Cases of one kind: some are tried every time, the others with the slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def seldom(values: Iterable[Any], *often: Any) -> list[Any]:
    """The values as parameters of a test, slow unless they are among those tried often."""
    return [pytest.param(value, marks=[] if value in often else pytest.mark.slow) for value in values]
