"""What a run may ask of Lightning's Trainer, argument by argument, and why not of the others.

Lightning's own annotations are too wide for rules (a strategy may be any word), and many of its arguments
change nothing in this program. Nothing here imports torch.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from attnlab.settings import Count, Positive


def _rule(holds: Callable[[Any], bool], told: str) -> Any:
    """Values for which something holds, and the rule in words."""

    def checked(value: Any) -> Any:
        if not holds(value):
            raise ValueError(told)
        return value

    return Annotated[Any, AfterValidator(checked)]


def _whole(value: Any, lowest: int) -> bool:
    return type(value) is int and lowest <= value < 2**63


def _share(value: Any) -> bool:
    return type(value) is float and 0 < value <= 1


def _one_device(value: Any) -> bool:
    one = value == 1 and type(value) is int
    return one or (isinstance(value, list) and len(value) == 1 and type(value[0]) is int and value[0] >= 0)


def _duration(value: Any) -> bool:
    text = value if isinstance(value, str) else ""
    return re.fullmatch(r"\d{1,6}:\d\d:\d\d:\d\d", text, re.ASCII) is not None and any(
        map(int, text.split(":"))
    )


_ALIASES = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""Lightning's short names of precisions: one precision has one name, and so one identity."""

_Precision = Annotated[
    Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true"],
    BeforeValidator(lambda value: _ALIASES.get(str(value), value)),
]
_CountOrNone = Count | None
_PositiveOrNone = Positive | None
_Limit = _rule(
    lambda value: value == -1 or _whole(value, 1), "must be a whole number >= 1, or -1 for no limit"
)
Batches = _rule(
    lambda value: _share(value) or _whole(value, 1),
    "must be a fraction in (0, 1], such as 1.0 for all, or a whole number of batches >= 1",
)

OFFERED: dict[str, Any] = {
    "max_steps": _Limit,
    "max_epochs": _Limit,
    "min_steps": _CountOrNone,
    "min_epochs": _CountOrNone,
    "max_time": _rule(
        lambda value: value is None or _duration(value),
        "must be days:hours:minutes:seconds above zero, such as 00:01:30:00, or null",
    ),
    "accelerator": Literal["cpu", "gpu", "cuda", "mps", "auto"],
    "devices": _rule(_one_device, "a run trains on one device: must be 1, or [2] for the third GPU"),
    "precision": _Precision,
    "gradient_clip_val": _PositiveOrNone,
    "gradient_clip_algorithm": Literal["norm", "value"],
    "accumulate_grad_batches": Count,
    "log_every_n_steps": Count,
    "check_val_every_n_epoch": _CountOrNone,
    "val_check_interval": _rule(
        lambda value: _share(value) or _whole(value, 1),
        "must be a fraction of an epoch in (0, 1], such as 1.0, or a whole number of batches >= 1",
    ),
    "limit_train_batches": Batches,
    "limit_val_batches": Batches,
    "limit_test_batches": Batches,
    "num_sanity_val_steps": _rule(
        lambda value: _whole(value, -1), "must be a whole number of batches >= 0, or -1 for all"
    ),
    "enable_progress_bar": bool | None,
    "deterministic": Annotated[
        Literal[True, False, "warn"], BeforeValidator(lambda value: False if value is None else value)
    ],
    "inference_mode": bool,
    "detect_anomaly": bool,
}
"""The rules of the arguments that change something."""

OF_MEASURING = (
    "accelerator",
    "devices",
    "precision",
    "limit_val_batches",
    "limit_test_batches",
    "enable_progress_bar",
)
"""Those of them that a measurement of a finished run depends on."""

TELLS_ONE_FROM_ALL = tuple(
    f"trainer.{name}"
    for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "val_check_interval")
)
"""Settings where 1 is one batch and 1.0 is all of them."""

OWNED: dict[str, tuple[tuple[Any, ...], str]] = {
    "logger": ((), "every run writes TensorBoard events and metrics.csv"),
    "callbacks": ((), "use the group callbacks"),
    "enable_checkpointing": ((), "every run keeps checkpoints; see checkpoint_every"),
    "default_root_dir": ((None,), "use runs_dir"),
    "fast_dev_run": ((False,), "use trainer.max_steps=2"),
    "barebones": ((False,), "a run without figures has no result"),
    "enable_autolog_hparams": ((), "every run writes its hyperparameters"),
    "model_registry": ((None,), "every run keeps checkpoints in its own folder"),
    "strategy": (("auto",), "a run trains on one device"),
    "num_nodes": (
        (1,),
        "a run trains on one device; -m with hydra/launcher=ray trains many runs on many machines",
    ),
    "use_distributed_sampler": ((False,), "a run trains on one device"),
    "sync_batchnorm": ((False,), "a run trains on one device"),
    "limit_predict_batches": ((1.0,), "a run predicts nothing; see trainer.limit_test_batches"),
    "overfit_batches": ((0.0, 0), "name one small file as task.train and task.val of task=pairs"),
    "reload_dataloaders_every_n_epochs": ((0,), "the batch of a step is a function of seed and step"),
    "enable_model_summary": ((False,), "status.json has the number of parameters"),
    "profiler": (
        (None,),
        "speed/examples_per_second is logged; python -m cProfile scripts/train.py profiles",
    ),
    "benchmark": ((None, False), "it times kernels of convolutions, and there are none"),
    "plugins": ((None,), "the precision is set by trainer.precision"),
}
"""Arguments that a run decides for itself: the values that say so, which older runs stored, and why."""


def refused(node: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each argument that is not offered and asks for something else than what is done."""
    for name, (neutral, why) in OWNED.items():
        if name in node and not any(node[name] is value or node[name] == value for value in neutral):
            yield f"trainer.{name} is not offered: {why}"


def conflicts(tree: Mapping[str, Any]) -> Iterator[str]:
    """Settings that have a value each may have, and cannot be all the same."""
    trainer, optimizer = tree["trainer"], tree["optimizer"]
    watched = all(node["_target_"].startswith("attnlab.") for node in (tree.get("callbacks") or {}).values())
    endless = watched and trainer["max_time"] is None and tree.get("stop_at") is None
    for name in ("steps", "epochs"):
        least, most = trainer[f"min_{name}"], trainer[f"max_{name}"]
        if least is not None and -1 < most < least:
            yield f"trainer.min_{name} must not exceed trainer.max_{name}, got {least} and {most}"
        elif least is not None and endless:
            yield (
                f"trainer.min_{name}={least} keeps a run from ending early, and nothing ends this one early: "
                "neither trainer.max_time nor stop_at nor a callback of your own"
            )
    if trainer["check_val_every_n_epoch"] is None and isinstance(trainer["val_check_interval"], float):
        yield (
            "trainer.check_val_every_n_epoch=null needs trainer.val_check_interval as a whole number of "
            f"batches, got {trainer['val_check_interval']}"
        )
    if trainer["gradient_clip_val"] is None and trainer["gradient_clip_algorithm"] != "norm":
        yield "trainer.gradient_clip_algorithm=value clips nothing with trainer.gradient_clip_val=null"
    if trainer["precision"] == "16-mixed" and trainer["accelerator"] != "cpu" and optimizer.get("fused"):
        # it unscales within its step: gradients would be clipped and logged as scaled
        yield "optimizer.fused: must be false with trainer.precision=16-mixed, got true"
    yield from measuring_conflicts(tree)


def measuring_conflicts(tree: Mapping[str, Any]) -> Iterator[str]:
    """Those of them that matter when a finished run is measured."""
    trainer = tree["trainer"]
    if trainer["precision"] == "16-mixed" and trainer["accelerator"] == "cpu":
        yield "trainer.precision=16-mixed needs a GPU; trainer.accelerator=cpu has bf16-mixed"
