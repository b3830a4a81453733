"""Sweeps over the machines of a Ray cluster: `hydra/launcher=ray`.

Each job is a Ray task that is tried again on another node when its node is lost; the run then goes on from
its last checkpoint, for which `runs_dir` must lie on a file system that all nodes share.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from attnlab import shell
from attnlab.settings import Count
from attnlab.text import unbroken


class RayLauncher(Launcher):
    """Jobs as Ray tasks. address: of a cluster, null for this machine; cpus: a job asks for; retries: after a
    lost node."""

    def __init__(self, *, address: str | None, cpus: Count, retries: Count):
        self.address = address
        self.cpus = cpus
        self.retries = retries

    def setup(
        self, *, hydra_context: HydraContext, task_function: Callable[..., Any], config: DictConfig
    ) -> None:
        """Keep what a job is made from."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit all jobs and wait for them; a job's own failure is in its run's status."""
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise ImportError(f"hydra/launcher=ray needs\n{unbroken(shell.install('ray'))}") from None

        setup_globals()
        started_here = not ray.is_initialized()
        if started_here:
            ray.init(
                address=self.address, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
            )
        try:
            # the options of a task; a lost node is a system failure, and those are retried
            remote = ray.remote(num_cpus=self.cpus, max_retries=self.retries)(_carry_out)
            waiting = [
                remote.remote(self.task, self._composed(list(overrides), initial_job_idx + number))
                for number, overrides in enumerate(job_overrides)
            ]
            return [self._returned(ray, reference) for reference in waiting]
        finally:
            if started_here:
                ray.shutdown()

    def _composed(self, overrides: list[str], number: int) -> DictConfig:
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.runtime.output_dir = f"{config.hydra.sweep.dir}/{config.hydra.sweep.subdir}"
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _returned(self, ray: Any, reference: Any) -> JobReturn:
        result = JobReturn(status=JobStatus.COMPLETED)
        try:
            result.return_value = ray.get(reference)
        # the job's process or its last node died: the run's folder says how far it came
        except Exception as error:
            result.status, result.return_value = JobStatus.FAILED, error
        return result


def _carry_out(task: Callable[..., Any], config: DictConfig) -> Any:
    """On a node: what Hydra would set up for a job, then the job."""
    from hydra.core.hydra_config import HydraConfig

    setup_globals()
    HydraConfig.instance().set_config(config)
    return task(config)
