"""From a configuration to the objects it describes, each made under a seed of its own."""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import nn

from attnlab.config.composing import compose
from attnlab.config.trust import EVERYTHING, refuse_untrusted
from attnlab.core.attention import Attention
from attnlab.core.evaluation import rule_of
from attnlab.core.interfaces import Distribution, Estimator, Mechanism, Selector
from attnlab.core.scores import Score
from attnlab.facts import USAGE, Facts
from attnlab.models.inference import inference_for
from attnlab.models.model import Model
from attnlab.randomness import derive, part
from attnlab.tasks.task import Task
from attnlab.text import failure
from attnlab.training.lightning_module import Training
from attnlab.training.metrics import Measure, metrics_of


class Built(NamedTuple):
    """The objects that a configuration describes."""

    config: dict[str, Any]
    mechanism: Mechanism
    attention: Attention
    model: Model
    task: Task
    training: Training


def build(overrides: list[str]) -> Built:
    """The configured objects without training, for notebooks:
    `build(["attention=soft", "attention.beta=5"])`.

    Overrides are those of the command line. Raises ConfigurationError or ValueError, as the command would.
    """
    return assemble(compose(overrides).tree, EVERYTHING)


def assemble(
    tree: Mapping[str, Any],
    trusted: Collection[str] = (),
    task: Task | None = None,
    kept: Sequence[Any] = (),
) -> Built:
    """The objects of a checked configuration, whose code is attnlab's own or lies in trusted packages.

    The initial parameters of a part depend on the seed and on that part alone: encoder and decoder start the
    same, whatever the mechanism and the score. task: the one of the configuration, where it was made before;
    else it is made with what is `kept` of the run to be measured, its vocabulary.

    Raises ConfigurationError for code that is not trusted, before
    any of it is imported; ValueError for a factory that fails.
    """
    refuse_untrusted(tree, trusted)
    seed = tree["seed"]
    task = task or make_task(tree, *kept)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mechanism"))
        mechanism: Mechanism = make_part("attention", tree["attention"])
        torch.manual_seed(derive(seed, "model"))

        attentions: list[Attention] = []

        def attention(query_size: int, state_size: int | None) -> Attention:
            with part():
                project = None if state_size is None else nn.Linear(state_size, query_size, bias=False)
            width, rest = divmod(query_size, mechanism.distribution.maps)
            if rest:
                raise ValueError(
                    f"this attention cuts queries and keys into {mechanism.distribution.maps} parts, and "
                    f"needs a width that can be divided so, got {query_size}"
                )
            with part():
                score: Score = make_part("score", tree["score"], width, width)
            attentions.append(Attention(score, mechanism.selector, project))
            return attentions[-1]

        model: Model = make_part("model", tree["model"], task.source_symbols, task.target_symbols, attention)
        torch.manual_seed(derive(seed, "baseline"))
        mechanism.estimator.prepare(model.sites)
        torch.manual_seed(derive(seed, "inference"))
        mechanism.selector.prepare(inference_for(model.sites, task.source_symbols, task.target_symbols))
    _refuse_reach(tree["attention"], mechanism, model)
    rule = tree["evaluate_as"]
    if not rule_of(mechanism, rule).anywhere and not steps_alone(model):
        raise ValueError(
            f"evaluate_as={rule} mixes the probabilities of single steps, and choices of this model reach "
            "on, have several heads or are not alone; evaluate_as=soft or argmax goes anywhere"
        )
    configure = make_part("optimizer", tree["optimizer"])
    metrics = _own_metrics(tree["metrics"])
    training = Training(model, mechanism, task, configure, seed, rule, metrics)
    return Built(dict(tree), mechanism, attentions[0], model, task, training)


def _own_metrics(paths: Sequence[str]) -> Sequence[Measure]:
    try:
        return metrics_of(paths)
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith("metrics: "):
            raise
        raise ValueError(f"metrics: what is named there {failure(error)}") from error


def _refuse_reach(node: Mapping[str, Any], mechanism: Mechanism, model: Model) -> None:
    """Raises ValueError for a mechanism that goes through positions step by step, where a choice reaches on,
    has several heads or is not alone."""
    sites = model.sites
    if not steps_alone(model) and not (mechanism.selector.anywhere and mechanism.estimator.anywhere):
        said = ", ".join(f"{name} (heads {at.heads}, reach {at.reach})" for name, at in sites.items())
        raise ValueError(
            f"attention: {node['_target_'].rpartition('.')[2]} tries positions step by step, so its choice "
            f"must be the only one, of one head, and reach its own step alone; this model chooses at {said}. "
            "hard_reinforce, soft and the straight-through mechanisms go anywhere"
        )


def steps_alone(model: Model) -> bool:
    """Whether a model has one choice a step, of one head, which changes nothing later."""
    sites = model.sites.values()
    return len(sites) == 1 and all(place.reach == "step" and place.heads == 1 for place in sites)


def make_task(tree: Mapping[str, Any], *kept: Any) -> Task:
    """The task of a checked configuration, whose code is trusted; with what a run keeps of its data, the task
    to measure that run on."""
    return make_part("task", tree["task"], tree["seed"], tree["batch_size"], *kept)


def make_part(path: str, node: Mapping[str, Any], *given: Any) -> Any:
    """What the factory of a group makes. Raises ValueError, in one sentence, for a factory that fails, or
    makes something else than its group is for."""
    target = node["_target_"]
    try:
        made = make(node, *given)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, ValueError) and target.startswith("attnlab."):  # a refusal
            raise
        raise ValueError(f"{path}: {target} {failure(error)}") from error
    kind, what = _KINDS[path.partition(".")[0]]
    if not isinstance(made, kind):
        raise ValueError(f"{path}: {target} must return {what}, got {made!r:.60}")
    if isinstance(made, Mechanism):
        if made.facts is None:
            raise ValueError(f"{path}: {target} states no facts; above it stands {USAGE}")
        for name, kind in _PARTS.items():
            if not isinstance(part := getattr(made, name), kind):
                raise ValueError(f"{path}: {name} of {target} must be a {kind.__name__}, got {part!r:.60}")
    return made


_KINDS: dict[str, tuple[Any, str]] = {
    "attention": (Mechanism, "a Mechanism of attnlab.core.interfaces"),
    "score": (nn.Module, "a Score of attnlab.core.scores"),
    "task": (Task, "a Task of attnlab.tasks.task"),
    "model": (Model, "a Model of attnlab.models.model"),
    "optimizer": (Callable, "a function, as attnlab.training.optimizers.Configure says"),
    "callbacks": (pl.Callback, "a Callback of pytorch_lightning"),
}
_PARTS = {"distribution": Distribution, "selector": Selector, "estimator": Estimator, "facts": Facts}
"""What a mechanism is made of."""


def make(node: Mapping[str, Any], *given: Any) -> Any:
    """Call the factory that a node names with what the program hands in and the node's settings."""
    module, _, name = node["_target_"].rpartition(".")
    settings = {key: value for key, value in node.items() if key != "_target_"}
    return getattr(importlib.import_module(module), name)(*given, **settings)
