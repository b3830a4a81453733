"""What is known of a figure by its tag: which way is better, its unit, and its bounds."""

import functools
from ast import FunctionDef
from collections.abc import Mapping
from typing import Any

from attnlab.config.places import PACKAGE
from attnlab.config.signatures import stated_by
from attnlab.config.sources import parsed
from attnlab.metric import POSITIVE, SHARE, Metric

METRICS = "attnlab.training.metrics"
_OTHERS = {
    "bayes_accuracy": Metric(better="", unit="share, 0 to 1", bounds=SHARE),
    "accuracy": Metric(better="higher", unit="share, 0 to 1", bounds=SHARE),
    "mass": Metric(better="higher", unit="share, 0 to 1", bounds=SHARE),
    "unknown_examples": Metric(better="", unit="lines", bounds=POSITIVE),
    "accuracy_ceiling": Metric(better="", unit="share, 0 to 1", bounds=SHARE),
    "regret": Metric(better="lower", unit="share", bounds=(-1.0, 1.0)),
    "soft_argmax_gap": Metric(better="", unit="soft minus argmax accuracy", bounds=(-1.0, 1.0)),
    "examples_per_second": Metric(better="higher", unit="examples a second", bounds=POSITIVE),
    "surrogate": Metric(better="", unit="nats a token"),  # that of REINFORCE rises as the model learns
    "cosine": Metric(better="higher", unit="", bounds=(-1.0, 1.0)),
    "relative_bias": Metric(better="lower", unit="", bounds=POSITIVE),
    "relative_variance": Metric(better="lower", unit="", bounds=POSITIVE),
    "cost": Metric(better="lower", unit="", bounds=POSITIVE),
}
"""Of figures that no exam measures, by the end of a tag's last part, the first that fits."""
OWN: dict[str, Metric] = {}
"""Of metrics of a person's own, as the runs that were read say."""


@functools.cache
def ours() -> dict[str, Metric]:
    """What every metric of an exam states above its function, by its name."""
    found: dict[str, Metric] = {}
    for path in sorted(PACKAGE.parent.joinpath(*METRICS.split(".")).glob("[!_]*.py")):
        module = f"{METRICS}.{path.stem}"
        for node in parsed(module).body:
            if isinstance(node, FunctionDef) and (said := stated_by(f"{module}.{node.name}", Metric)):
                found[node.name] = said
    return found


def note(stated: Mapping[str, Any]) -> None:
    """Take in what a run says of metrics of a person's own, {name: what @Metric(...) holds}."""
    OWN.update({name: Metric(**said) for name, said in stated.items()})


def facts(metric: str) -> Metric:
    """Of a tag such as val/token_accuracy; neither way is better where nothing is known."""
    if metric.startswith("grad_norm"):
        return Metric(better="", unit="before clipping" * (not metric.endswith("clipped")), bounds=POSITIVE)
    name = metric.rpartition("/")[2]
    if said := ours().get(name) or OWN.get(name):
        return said
    return next((said for end, said in _OTHERS.items() if name.endswith(end)), Metric(better="", unit=""))


def axis_label(metric: str) -> str:
    """The metric with its unit."""
    unit = facts(metric).unit
    return metric + (f" ({unit})" if unit else "")
