"""Group runs for TensorBoard: the mean of each group and the bounds of its interval, as event files."""

# protocol buffers make their classes when they are imported
# pyright: reportAttributeAccessIssue=false

import re
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from attnlab.comparison.curves import Curve

NAME = "events.out.tfevents.{time:.0f}.comparison"


def write(curves: Sequence[Curve], metric: str, folder: Path) -> None:
    """Three runs a group, <group>/mean, /lower and /upper, that share the metric's chart under Scalars; and
    one, <group>, whose three tags Custom Scalars draws as a line in its band. Event files of an earlier
    comparison are replaced.
    """
    for old in folder.rglob(NAME.format(time=0).replace("0", "*")):
        old.unlink()
    tags = {part: f"{metric}/{part}" for part in ("mean", "lower", "upper")}
    names: list[str] = []
    for curve in curves:
        name = re.sub(r"[^\w=.,+() -]+", "_", curve.label)[:150]
        names.append(f"{name} ({len(names) + 1})" if name in names else name)
        place = folder / names[-1]
        bounds = {"mean": curve.mean, "lower": curve.lower, "upper": curve.upper}
        for part, values in bounds.items():
            steps = zip(curve.steps.tolist(), values.tolist(), strict=True)
            _events(
                place / part, [Event(step=step, summary=_scalars({metric: value})) for step, value in steps]
            )
        rows = zip(curve.steps.tolist(), *(values.tolist() for values in bounds.values()), strict=True)
        band = [
            Event(step=step, summary=_scalars(dict(zip(tags.values(), row, strict=True))))
            for step, *row in rows
        ]
        _events(place, [Event(summary=_layout(metric, tags)), *band])


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
    """The page Custom Scalars: one chart with the bands of all groups."""
    series = layout_pb2.MarginChartContent.Series(
        value=tags["mean"], lower=tags["lower"], upper=tags["upper"]
    )
    chart = layout_pb2.Chart(
        title=f"{metric}: mean and 95 % interval", margin=layout_pb2.MarginChartContent(series=[series])
    )
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="groups", chart=[chart])])
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()])
    value = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata()
    )
    return Summary(value=[value])
