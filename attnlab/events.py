"""TensorBoard events of a run: figures, the charts that all runs share, and its row of the HParams tab."""

# protocol buffers make their classes when they are imported
# pyright: reportAttributeAccessIssue=false

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from attnlab.folders import Shown

METRICS = {
    "val/sequence_accuracy": "",
    "grad_norm_mean/attention": "",
    "val/attention_entropy": "",
    "val/alignment_accuracy": "",
    "val/token_accuracy": "",
    "val/nll": "",
    "grad_norm_mean/total": "",
    "grad_norm/attention": "grad_norm/attention (one batch)",
    "grad_norm/total": "grad_norm/total (one batch)",
}
"""What the HParams tab shows: the last value of each tag, and what to call it where the tag does not say
enough."""

CHARTS = {
    "runs compared": {
        "sequence accuracy (validation)": ["Multiline", ["val/sequence_accuracy"]],
        "gradient norm of the attention (mean so far)": ["Multiline", ["grad_norm_mean/attention"]],
        "gradient norm (before clipping, mean so far)": ["Multiline", ["grad_norm_mean/total"]],
        "attention entropy (validation)": ["Multiline", ["val/attention_entropy"]],
        "alignment accuracy (validation)": ["Multiline", ["val/alignment_accuracy"]],
        "nll (validation)": ["Multiline", ["val/nll"]],
    }
}
"""The custom-scalars page: one chart for each figure, with all runs in it."""


class Events(TensorBoardLogger):
    """TensorBoard events straight in the run's folder, one file a start, from `step` on; the whole
    configuration is in config.yaml already."""

    def __init__(self, folder: Path, step: int, shown: Shown):
        super().__init__(folder, name="", version="", default_hp_metric=False, purge_step=step + 1)
        self._write(experiment(shown))
        self._write(session_start(shown.settings))
        self.experiment.add_custom_scalars(CHARTS)
        self.save()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """A run that ends is done, or has failed; one that is interrupted has not ended."""
        if error is None or issubclass(error, Exception):
            self._write(session_end(error is None))
        self.experiment.close()

    def save(self) -> None:
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Lightning ends a fit with this; the run's results are still to come."""
        self.save()

    def _write(self, summary: Summary) -> None:
        self.experiment.file_writer.add_summary(summary)


def experiment(shown: Shown) -> Summary:
    """The columns of the HParams tab. TensorBoard takes them from any one of the runs."""
    kinds = {key: _kind(shown.settings.get(key)) for key in shown.columns}
    settings = [api_pb2.HParamInfo(name=key, type=kind) for key, kind in kinds.items()]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
        for tag, name in METRICS.items()
    ]
    content = HParamsPluginData(experiment=api_pb2.Experiment(hparam_infos=settings, metric_infos=metrics))
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


def _kind(value: Any) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    is_text = isinstance(value, str | list | dict)
    return api_pb2.DATA_TYPE_STRING if is_text else api_pb2.DATA_TYPE_FLOAT64


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    content.version = metadata.PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
