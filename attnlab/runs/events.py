"""TensorBoard events of a run: figures, the charts that all runs share, and its row of the HParams tab."""

# protocol buffers make their classes when they are imported
# pyright: reportAttributeAccessIssue=false

from pathlib import Path

from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary

from attnlab.runs.folders import Shown
from attnlab.runs.hparams import experiment, session_end, session_start

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
        self._write(experiment({key: shown.settings.get(key) for key in shown.columns}, METRICS))
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
