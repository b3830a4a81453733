"""A wheel carries configs/ inside the package, as attnlab/configs; all else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """An editable install reads configs/ where it lies."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("configs", Path(self.build_lib, "attnlab", "configs"), dirs_exist_ok=True)


setup(cmdclass={"build_py": WithConfigs})
