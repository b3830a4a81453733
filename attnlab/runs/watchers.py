"""The callbacks that a configuration names, made before anything of a run is written."""

import pytorch_lightning as pl

from attnlab.building import Built, make_part
from attnlab.text import failure
from attnlab.training.callbacks.learned import Learned
from attnlab.training.exams import Tally, free_running, teacher_forced


def callbacks_of(built: Built) -> list[pl.Callback]:
    """What watches a run, in the order of its configuration.

    Raises ValueError for a factory that fails or makes no callback, for a callback that monitors what no
    validation measures: it would end the run after its first epoch, and for one that judges a validation
    again at the end of every epoch.
    """
    callbacks = [make_part(f"callbacks.{name}", node) for name, node in built.config["callbacks"].items()]
    for name, callback in zip(built.config["callbacks"], callbacks, strict=True):
        if getattr(callback, "_check_on_train_epoch_end", None):
            raise ValueError(
                f"callbacks.{name}.check_on_train_epoch_end must be false or null: an epoch may end without "
                "a validation, whose figure would be judged again or be missing"
            )
    watched = {
        name: found for name, found in zip(built.config["callbacks"], map(_monitored, callbacks), strict=True)
    }
    if any(watched.values()):
        known = validated(built)
        for name, figure in watched.items():
            if figure and figure not in known:
                raise ValueError(
                    f"callbacks.{name}.monitor must be a figure of the validation, {', '.join(known)}; "
                    f"got {figure!r}"
                )
    accuracy = built.config["stop_at"]
    return callbacks if accuracy is None else [*callbacks, Learned(accuracy)]


def _monitored(callback: pl.Callback) -> str:
    monitor = getattr(callback, "monitor", None)
    return monitor if isinstance(monitor, str) else ""


def refuse_metrics(built: Built) -> None:
    """Raises ValueError for metrics of a person's own that fail, as a batch of the validation shows."""
    try:
        if built.config["metrics"]:
            validated(built)
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith("metrics: "):
            raise
        raise ValueError(f"metrics: one of {', '.join(built.config['metrics'])} {failure(error)}") from error


def validated(built: Built) -> list[str]:
    """The figures that a validation takes, by their tags, as its first batch shows."""
    training, tally = built.training, Tally()
    training.eval()
    batch = next(iter(built.task.validation()))
    tally.add(teacher_forced(training.model, batch, training.rule, training.metrics))
    limit = built.task.longest_target
    tally.add(free_running(training.model, batch, training.rule, limit, metrics=training.metrics))
    training.train()
    return sorted(tally.figures("val"))
