"""From a configuration to the objects it describes, each made under a seed of its own."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from attnlab.attention import Attention
from attnlab.base import Mechanism
from attnlab.config import compose
from attnlab.models.seq2seq import Seq2Seq
from attnlab.randomness import derive, part
from attnlab.scores import Score
from attnlab.tasks.task import Task
from attnlab.training import Training


class Built(NamedTuple):
    """The objects that a configuration describes."""

    config: dict[str, Any]
    mechanism: Mechanism
    attention: Attention
    model: Seq2Seq
    task: Task
    training: Training


def build(overrides: list[str]) -> Built:
    """The configured objects without training, for notebooks:
    `build(["attention=soft", "attention.beta=5"])`.

    Overrides are those of the command line. Raises ConfigurationError or ValueError, as the command would.
    """
    return assemble(compose(overrides).tree)


def assemble(tree: Mapping[str, Any]) -> Built:
    """The objects of a checked configuration. The initial parameters of a part depend on the seed and on that
    part alone: encoder and decoder start the same, whatever the mechanism and the score."""
    seed = tree["seed"]
    task: Task = make(tree["task"], seed, tree["batch_size"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mechanism"))
        mechanism: Mechanism = make(tree["attention"])
        torch.manual_seed(derive(seed, "model"))

        def attention(query_size: int, state_size: int) -> Attention:
            with part():
                project = nn.Linear(state_size, query_size, bias=False)
            with part():
                score: Score = make(tree["score"], query_size, query_size)
            return Attention(score, mechanism.selector, project)

        model: Seq2Seq = make(tree["model"], task.source_symbols, task.target_symbols, attention)
        torch.manual_seed(derive(seed, "baseline"))
        mechanism.estimator.prepare(model.query_size)
    training = Training(model, mechanism, task, make(tree["optimizer"]), seed)
    return Built(dict(tree), mechanism, model.attention, model, task, training)


def make(node: Mapping[str, Any], *given: Any) -> Any:
    """Call the factory that a node names with what the program hands in and the node's settings."""
    module, _, name = node["_target_"].rpartition(".")
    settings = {key: value for key, value in node.items() if key != "_target_"}
    return getattr(importlib.import_module(module), name)(*given, **settings)
