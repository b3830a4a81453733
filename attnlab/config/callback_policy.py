"""Which of Lightning's own callbacks a run may have, and why not the others."""

from attnlab.config.sources import UnknownTarget, lookup, parsed

_LIGHTNING = "pytorch_lightning"
OFFERED = ("EarlyStopping",)
"""They work with checkpoints, resuming and the figures of a run."""

_CHECKPOINTS = "a run keeps last.ckpt and best.ckpt itself; see checkpoint_every"
_PROGRESS = "a run shows its progress itself; see trainer.enable_progress_bar"
_SUMMARY = "the number of parameters is in status.json"
_FROZEN = "it changes which parameters are trained, which the gradient norms do not follow"
_AVERAGED = "checkpoints and results are those of the trained parameters, not of their average"
_TUNED = "it changes a setting behind the configuration, whose hash would be wrong"
REFUSED = {
    "BackboneFinetuning": _FROZEN,
    "BaseFinetuning": _FROZEN,
    "BasePredictionWriter": "a run predicts nothing",
    "BatchSizeFinder": _TUNED,
    "Callback": "it does nothing",
    "Checkpoint": _CHECKPOINTS,
    "DeviceStatsMonitor": "its figures differ from one run to the next",
    "EMAWeightAveraging": _AVERAGED,
    "GradientAccumulationScheduler": "use trainer.accumulate_grad_batches",
    "LambdaCallback": "a yaml holds no function; write a class of your own",
    "LearningRateFinder": _TUNED,
    "LearningRateMonitor": "the learning rate is logged as schedule/lr already",
    "ModelCheckpoint": _CHECKPOINTS,
    "ModelPruning": _FROZEN,
    "ModelSummary": _SUMMARY,
    "OnExceptionCheckpoint": _CHECKPOINTS,
    "ProgressBar": _PROGRESS,
    "RichModelSummary": _SUMMARY,
    "RichProgressBar": _PROGRESS,
    "SpikeDetection": "a loss that is not finite stops a run already",
    "StochasticWeightAveraging": _AVERAGED,
    "TQDMProgressBar": _PROGRESS,
    "ThroughputMonitor": "examples a second are logged as speed/examples_per_second already",
    "Timer": "use trainer.max_time",
    "WeightAveraging": _AVERAGED,
}


def defined_at(target: str) -> str:
    """The path of a Lightning callback where it is defined: one name for one class, however it is typed.

    `lightning.pytorch`, the other name of the same library, stands for `pytorch_lightning`; what is not
    Lightning's stays as it is. Raises UnknownTarget for a module of Lightning that is not there.
    """
    target = (
        f"{_LIGHTNING}.{rest}" if (rest := target.removeprefix("lightning.pytorch.")) != target else target
    )
    module, _, name = target.rpartition(".")
    if module.partition(".")[0] != _LIGHTNING:
        return target
    parsed(module)
    found = lookup(module, name)
    return target if found is None else f"{found.module}.{getattr(found.node, 'name', name)}"


def refusal(target: str) -> str:
    """Why a run cannot have a callback, by the path where it is defined; "" where it can."""
    if target.partition(".")[0] != _LIGHTNING or is_offered(target):
        return ""
    name = target.rpartition(".")[2]
    return (
        f"{name} is not offered: {REFUSED.get(name, 'of Lightning, only ' + ' and '.join(OFFERED) + ' is')}"
    )


def is_offered(target: str) -> bool:
    """Whether a path leads to one of Lightning's callbacks that runs may have."""
    try:
        module, _, name = defined_at(target).rpartition(".")
    except UnknownTarget:
        return False
    return module.startswith(f"{_LIGHTNING}.callbacks.") and name in OFFERED
