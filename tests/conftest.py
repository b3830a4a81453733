"""Shapes in annotations are checked while the tests run; small models are timed and tested with one thread."""

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("attnlab", "beartype.beartype")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
