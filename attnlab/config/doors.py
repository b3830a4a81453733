"""What attnlab needs of Hydra that Hydra does not offer by name: here, and nowhere else.

A new version of Hydra may move it; tests/config/test_doors.py says in a sentence which door is gone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf


def apply(overrides: Sequence[Override], config: Any) -> None:
    """Change settings of a composed configuration in place, as Hydra does, which takes ten times as long when
    it composes for itself."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def parsed_value(override: Override) -> Any:
    """What Hydra's language reads in a value, before a sweep or quotes are resolved."""
    return override._value


def launch(
    make: Callable[[dict[str, Any]], Any],
    task: Callable[[Any], Any],
    overrides: Sequence[str],
    jobs: Sequence[Sequence[str]],
) -> list[str | None]:
    """Carry jobs out with the launcher that the overrides choose, which `make` makes from its settings.

    For each, why it failed around the job, in its process or its launcher; or None.
    """
    engine = GlobalHydra.instance().hydra
    assert engine is not None
    config = engine.compose_config(None, list(overrides), RunMode.MULTIRUN, from_shell=False)
    launcher = make(cast(dict[str, Any], OmegaConf.to_container(config.hydra.launcher, resolve=True)))
    context = HydraContext(config_loader=engine.config_loader, callbacks=Callbacks(config))
    launcher.setup(hydra_context=context, task_function=task, config=config)
    returned = launcher.launch([list(job) for job in jobs], 0)
    return [str(result._return_value) if result.status == JobStatus.FAILED else None for result in returned]


def answer(configs: Path, name: str) -> None:
    """Let Hydra answer the flags of its own that stand on the command line, in what it prints."""
    import hydra

    @hydra.main(version_base="1.3", config_path=str(configs), config_name=name)
    def nothing(config: Any) -> None:
        """Never reached: each of the flags ends before the job."""

    nothing()
