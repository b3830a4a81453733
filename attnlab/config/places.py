"""Where the choices of each group lie."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CONFIGS = next(filter(Path.is_dir, (PACKAGE.parent / "configs", PACKAGE / "configs")))
"""The folder configs/ beside the package in a checkout; inside it where it is installed."""
