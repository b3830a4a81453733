"""TensorBoard's tab HParams: its columns, and the row of a run, written without torch.

torch's own summaries ask for a start value of each figure, which would be a false point in its chart.
"""

# protocol buffers make their classes when they are imported
# pyright: reportAttributeAccessIssue=false

import re
import time
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo


def experiment(settings: Mapping[str, Any], metrics: Mapping[str, str]) -> Summary:
    """The columns of the HParams tab: settings, each with a value that it may have, and tags of figures, each
    with what to call it where the tag does not say enough. TensorBoard takes them from one of the runs, and
    breaks what they are called where a zero-width space stands."""
    kinds = [api_pb2.HParamInfo(name=key, type=_kind(value)) for key, value in settings.items()]
    figures = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=_breakable(name or tag))
        for tag, name in metrics.items()
    ]
    content = HParamsPluginData(experiment=api_pb2.Experiment(hparam_infos=kinds, metric_infos=figures))
    return _summary(metadata.EXPERIMENT_TAG, content)


def session_start(settings: Mapping[str, Any]) -> Summary:
    """A run's row: its settings, numbers as numbers, so that they are sorted."""
    info = SessionStartInfo(start_time_secs=time.time())
    for key, value in settings.items():
        kind = _kind(value)
        if kind == api_pb2.DATA_TYPE_BOOL:
            info.hparams[key].bool_value = value
        elif kind == api_pb2.DATA_TYPE_FLOAT64:
            info.hparams[key].number_value = value
        else:
            info.hparams[key].string_value = str(value)
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(done: bool) -> Summary:
    """How a run ended, and when."""
    status = api_pb2.STATUS_SUCCESS if done else api_pb2.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _breakable(name: str) -> str:
    return re.sub("([/_])", "\\1\N{ZERO WIDTH SPACE}", name)


def _kind(value: Any) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    is_text = isinstance(value, str | list | dict)
    return api_pb2.DATA_TYPE_STRING if is_text else api_pb2.DATA_TYPE_FLOAT64


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    content.version = metadata.PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
