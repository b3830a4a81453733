"""What is compared, for TensorBoard: the mean of each group and the bounds of its interval, and its runs
under short names."""

# protocol buffers make their classes when they are imported
# pyright: reportAttributeAccessIssue=false

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from attnlab.comparison.against import BESIDE
from attnlab.comparison.curves import Curve
from attnlab.comparison.grouping import settings_of
from attnlab.comparison.labels import CHOICE, number
from attnlab.comparison.reading import Run
from attnlab.comparison.records import Comparison
from attnlab.runs.hparams import experiment, session_end, session_start

CURVES = ("val/sequence_accuracy", "grad_norm_mean/attention", "val/attention_entropy")
CURVES += ("val/alignment_accuracy", "val/nll", "train/nll", "grad_norm/attention")
DRAWN, POINTS = 40, 100  # runs whose curves are written, and how many points of each
_SCREEN = 5  # columns of HParams
NAME = "events.out.tfevents.{time:.0f}.comparison"


def write(curves: Sequence[Curve], comparison: Comparison, tag: str, folder: Path) -> None:
    """Three runs a group, <group>/mean, /lower and /upper, that share the metric's chart under Scalars; one,
    <group>, whose three tags Custom Scalars draws as a line in its band; and every run counted as
    <group>/seed=N, with its row of HParams. Event files of an earlier comparison are replaced.
    """
    for old in folder.rglob(NAME.format(time=0).replace("0", "*")):
        old.unlink()
    names = _distinct([row.group.label for row in comparison.rows])
    by_label = dict(zip((row.group.label for row in comparison.rows), names, strict=True))
    for curve in curves:
        _band(curve, tag, folder / by_label[curve.label])
    _runs(comparison, tag, folder, names)


def _band(curve: Curve, metric: str, place: Path) -> None:
    tags = {part: f"{metric}/{part}" for part in ("mean", "lower", "upper")}
    bounds = {"mean": curve.mean, "lower": curve.lower, "upper": curve.upper}
    for part, values in bounds.items():
        steps = zip(curve.steps.tolist(), values.tolist(), strict=True)
        _events(place / part, [Event(step=step, summary=_scalars({metric: value})) for step, value in steps])
    rows = zip(curve.steps.tolist(), *(values.tolist() for values in bounds.values()), strict=True)
    band = [
        Event(step=step, summary=_scalars(dict(zip(tags.values(), row, strict=True)))) for step, *row in rows
    ]
    _events(place, [Event(summary=_layout(metric, tags)), *band])


def _runs(comparison: Comparison, tag: str, folder: Path, names: Sequence[str]) -> None:
    """The runs under short names: their final figures, and, where runs are few, the curves of some."""
    rows = comparison.rows
    varied = list(dict.fromkeys(key for row in rows for key in (*row.group.telling, *row.group.merged)))
    counted = [(name, run, row) for name, row in zip(names, rows, strict=True) for run in row.counted]
    places = _distinct([f"{name}/seed={run.seed}" for name, run, _ in counted])
    settings = [_settings(run, varied) for _, run, _ in counted]
    columns = {key: value for found in settings for key, value in found.items()}
    finals = {_mean_tag(name): name for name in (comparison.metric, *BESIDE)}
    metrics = dict.fromkeys(list(finals)[: max(2, _SCREEN - len(columns))], "")
    for place, shown, (_, run, row) in zip(places, settings, counted, strict=True):
        figures = {name: value for name, final in finals.items() if (value := _final(run, final)) is not None}
        figures[_mean_tag(comparison.metric)] = row.counted[run]
        points: dict[int, dict[str, float]] = {}
        for name in dict.fromkeys((tag, *CURVES)) if len(counted) <= DRAWN else []:
            for step, value in _thinned(run, name):
                points.setdefault(step, {})[name] = value
                figures.pop(name, None)
        points.setdefault(run.steps or 0, {}).update(figures)
        summaries = [experiment(columns, metrics), session_start(shown)]
        scalars = [Event(step=step, summary=_scalars(points[step])) for step in sorted(points)]
        ended = Event(summary=session_end(True))
        _events(folder / place, [*(Event(summary=summary) for summary in summaries), *scalars, ended])


def _mean_tag(tag: str) -> str:
    """A tag of its own for the mean of a gradient norm, beside the curve of single batches."""
    return tag.replace("grad_norm/", "grad_norm_mean/", 1)


def _final(run: Run, tag: str) -> float | None:
    try:
        return run.figure(tag)
    except ValueError:
        return None


def _settings(run: Run, keys: Sequence[str]) -> dict[str, Any]:
    """What varies, of one run, and its seed: numbers as numbers."""
    found = settings_of(run)
    shown: dict[str, Any] = {"seed": run.seed}
    for key in keys:
        if key in found and found[key] != "null":
            value = number(found[key])
            name = found[key].rpartition(".")[2] if key.endswith(CHOICE) else found[key]
            shown[key.removesuffix(CHOICE)] = name if value is None else value
    return {key: shown[key] for key in [*list(shown)[1:], "seed"]}


def _thinned(run: Run, tag: str) -> list[tuple[int, float]]:
    """At most so many points of a figure, the last among them."""
    try:
        steps, values = run.history(tag)
    except ValueError:
        return []
    kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), POINTS)).round().astype(int))
    return list(zip(steps[kept].tolist(), values[kept].tolist(), strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of folders, no two alike."""
    found: list[str] = []
    for name in names:
        place = re.sub(r"[^\w=.,+()/ -]+", "_", name)[:150]
        found.append(f"{place} ({len(found) + 1})" if place in found else place)
    return found


def _events(folder: Path, events: Sequence[Event]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with (folder / NAME.format(time=now)).open("wb") as file:
        writer = RecordWriter(file)
        for event in [Event(file_version="brain.Event:2"), *events]:
            event.wall_time = now
            writer.write(event.SerializeToString())


def _scalars(figures: dict[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()])


def _layout(metric: str, tags: dict[str, str]) -> Summary:
    """The page Custom Scalars: one chart with the bands of all groups, and one a figure with all runs."""
    series = layout_pb2.MarginChartContent.Series(
        value=tags["mean"], lower=tags["lower"], upper=tags["upper"]
    )
    band = layout_pb2.Chart(
        title=f"{metric}: mean and 95 % interval", margin=layout_pb2.MarginChartContent(series=[series])
    )
    lines = [
        layout_pb2.Chart(title=tag, multiline=layout_pb2.MultilineChartContent(tag=[f"^{re.escape(tag)}$"]))
        for tag in CURVES
        if tag != metric  # whose bounds are runs too
    ]
    categories = [
        layout_pb2.Category(title="groups", chart=[band]),
        layout_pb2.Category(title=f"runs (of up to {DRAWN})", chart=lines),
    ]
    layout = layout_pb2.Layout(category=categories)
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()])
    value = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata()
    )
    return Summary(value=[value])
