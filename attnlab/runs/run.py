"""One run from start to end: train, keep the best, take its figures. An interrupted run goes on where it
stopped."""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from attnlab.building import Built
from attnlab.runs import folders, origin
from attnlab.runs.codebase import loaded_code_of
from attnlab.runs.events import Events
from attnlab.runs.examples import examples, told
from attnlab.runs.identity import data_digests, refuse_other_data
from attnlab.runs.lengths import record_lengths
from attnlab.runs.limits import make_trainer, prepare, quiet
from attnlab.runs.measuring import interruptible, measure, validated
from attnlab.runs.metrics_file import MetricsFile
from attnlab.runs.notes import notes, seen_in_training
from attnlab.runs.watchers import callbacks_of, refuse_metrics
from attnlab.tasks.task import Collected
from attnlab.training.callbacks.checkpoints import Checkpoints
from attnlab.training.callbacks.gradient_norms import over_training
from attnlab.training.callbacks.learned import Learned
from attnlab.training.callbacks.progress import Progress
from attnlab.training.exams import divergence
from attnlab.training.resuming import DamagedCheckpoint, Start, mend_best, starting_point
from attnlab.training.resuming import load as load

log = logging.getLogger("attnlab")
log.setLevel(logging.DEBUG)
log.propagate = False

_NOTHING_SHOWN = folders.Shown()


class RunFailed(RuntimeError):
    """Training stopped with an error, which the run's status and log keep."""


def train(
    tree: Mapping[str, Any],
    folder: Path,
    data: Mapping[str, str] | None = None,
    shown: folders.Shown = _NOTHING_SHOWN,
) -> dict[str, float]:
    """Train a checked configuration in its folder and return its results. data: the digests by which its data
    files were known when the run was planned; those of now where it was not. shown: how
    TensorBoard tells it from other runs.

    Raises ValueError, before any file is made, for settings that do not go together; RunBusy where another
    process trains this run; RunFailed where training stops with an error.
    """
    quiet()
    torch.set_num_threads(tree["threads"])
    data = data_digests(tree) if data is None else data
    built = prepare(tree)
    refuse_metrics(built)
    watchers = callbacks_of(built)
    code = loaded_code_of(tree)
    refuse_other_data(tree, data)  # digests from before and after the reading are those of what was read
    with folders.held(folder):
        if (already := folders.read_results(folder)) is not None:  # by another process, since this one looked
            return already
        other = origin.other_code(folder, tree)
        name = folder.name.rpartition("-")[2]
        checkpoints = Checkpoints(folder / "checkpoints", tree["checkpoint_every"], name)
        candidates = (checkpoints.last, checkpoints.previous, checkpoints.best)
        start = starting_point(candidates, built.training.state_dict(), name)
        mended = mend_best(checkpoints.best, start)
        folders.write_config(folder, tree)
        folders.write_sources(folder, tree, data, code)
        if isinstance(built.task, Collected):
            folders.write_vocabulary(folder, built.task.vocabulary)
        folders.write_status(
            folder,
            state="running",
            start=folders.now(),
            end=None,
            error=None,
            versions=origin.versions(),
            revision=origin.code_revision(),
            parameters=sum(value.numel() for value in built.training.parameters()),
        )
        handlers = _log_to(folder / "train.log", tree["trainer"]["enable_progress_bar"] is not False)
        try:
            for words in (*beginning(folder, shown), *([f"begun earlier: {other}"] if other else [])):
                log.debug("%s", words)
            if mended:
                log.critical("%s", mended)
            results, caution = _train(built, folder, shown, start, checkpoints, watchers)
            said = list(notes(built.task, results | folders.read_status(folder)["seen"]))
            folders.write_results(folder, results)
            folders.write_status(folder, state="done", end=folders.now(), caution=caution, notes=said)
            checkpoints.previous.unlink(missing_ok=True)
            accuracy = results["test/sequence_accuracy"]
            log.debug("%s", "\n".join([f"done: accuracy {accuracy:.4f} on test data", *said]))
        except KeyboardInterrupt as interruption:
            log.debug("interrupted%s", "".join(f" by {signal}" for signal in interruption.args))
            raise
        except Exception as error:
            log.debug("failed\n%s", traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
            folders.write_status(folder, state="failed", end=folders.now(), error=reason)
            raise RunFailed(f"{reason}\nfull log: {folder / 'train.log'}") from error
        finally:
            for handler in handlers:
                log.removeHandler(handler)
                handler.close()
    return results


def beginning(folder: Path, shown: folders.Shown) -> Iterator[str]:
    """What a log begins with: the settings by which a run is known, and what it is trained with."""
    status = folders.read_status(folder)
    yield "settings: " + ", ".join(f"{key}={value}" for key, value in shown.settings.items())
    versions = ", ".join(f"{name} {version}" for name, version in status["versions"].items())
    yield f"code {status['revision']}; {versions}; {status['parameters']:,} parameters"


def _log_to(path: Path, told: bool) -> list[logging.Handler]:
    """Write everything that is logged to a file, and where `told` is true what people wait for to stderr."""
    file, screen = logging.FileHandler(path, encoding="utf-8"), logging.StreamHandler(sys.stderr)
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    screen.setLevel(logging.INFO if told else logging.CRITICAL)
    for handler in (file, screen):
        log.addHandler(handler)
    return [file, screen]


def ending(trainer: pl.Trainer, built: Built) -> str:
    """Why a training ended."""
    for name, reached in (("max_steps", trainer.global_step), ("max_epochs", trainer.current_epoch)):
        limit = getattr(trainer, name)
        if limit is not None and 0 < limit <= reached:
            return f"trainer.{name}={limit} is reached"
    if any(isinstance(one, Learned) and one.shown for one in trainer.callbacks):  # pyright: ignore
        return f"more than stop_at={built.config['stop_at']} are right, at 95 %"
    return "trainer.max_time is over, or a callback asked to stop"


def attempt(tree: Mapping[str, Any], folder: Path, data: Mapping[str, str], shown: folders.Shown) -> str:
    """`train` as part of a sweep: the state the run is left in. What goes wrong is in its status and log, and
    is not raised."""
    try:
        train(tree, folder, data, shown)
        return "done"
    except folders.RunBusy:
        return "elsewhere"
    except Exception as error:
        if not isinstance(error, RunFailed):
            folder.mkdir(parents=True, exist_ok=True)
            folders.write_status(
                folder, state="failed", end=folders.now(), error=f"{type(error).__name__}: {error}"
            )
        return "failed"


@interruptible()
@torch.random.fork_rng(devices=[])  # which training and evaluation seed
def _train(
    built: Built,
    folder: Path,
    shown: folders.Shown,
    start: Start,
    checkpoints: Checkpoints,
    watchers: Sequence[pl.Callback],
) -> tuple[dict[str, float], str | None]:
    """The results, and what a reader of them must be warned of."""
    checkpoints.last.parent.mkdir(exist_ok=True)
    metrics = MetricsFile(folder / "metrics.csv", start.step)
    for sentence in _losses(start, metrics):
        log.critical("%s", sentence)  # told wherever a person may see it
    with Events(folder, start.step, shown) as events:
        progress = Progress(_draws_bar(built.config))
        trainer = make_trainer(
            built.config,
            logger=[events, metrics],
            callbacks=[progress, *watchers, checkpoints],
        )
        log.info("going on from step %d" if start.path else "starting at step %d", start.step)
        training = built.training
        training.figures = dict(start.kept.get("figures", {}))
        if not start.finished:
            try:
                trainer.fit(training, ckpt_path=start.path, weights_only=True)
            except Exception as error:
                if start.path is None or checkpoints.begun:
                    raise
                raise DamagedCheckpoint(
                    f"this run cannot go on from {start.path}, whose contents are not what training takes up "
                    f"({type(error).__name__}); the same command with fresh=true moves the run aside"
                ) from error
            folders.write_status(folder, ended=[trainer.global_step, why := ending(trainer, built)])
            log.info("trained to step %d: %s", trainer.global_step, why)
            if not checkpoints.validated(trainer.global_step):
                trainer.validate(training, verbose=False)
            checkpoints.finish(trainer)
        trained = training.figures
        steps = start.step if start.finished else trainer.global_step
        folders.write_status(folder, seen=seen_in_training(built, steps))
        results = measure(built, checkpoints.best, known=validated(checkpoints.best)) | over_training(trained)
        with trainer.precision_plugin.forward_context():
            folders.write_status(folder, example=told(*examples(built, 1)))
            if lengths := built.config["evaluate_lengths"]:
                record_lengths(built, lengths, folder, events.log_metrics)
        nll = {"on validation data (best checkpoint)": results["val/nll"]}
        if "train/nll" in trained:
            nll["on training data at the end"] = trained["train/nll"]
        return results, divergence(nll, built.task.target_symbols)


def _losses(start: Start, metrics: MetricsFile) -> Iterator[str]:
    """What an interrupted run has lost, where files of it are damaged."""
    if start.path and start.problems:
        yield (
            f"{'; '.join(start.problems)}: going on from {start.path.name} at step {start.step}, so that at "
            f"least {max(0, metrics.reached - start.step)} steps are taken again"
        )
    if metrics.dropped:
        yield (
            f"metrics.csv is damaged behind the row of step {metrics.reached}: what stands there is cut off "
            f"(lines lost: {metrics.dropped})"
        )


def _draws_bar(tree: Mapping[str, Any]) -> bool:
    """Whether a run draws a bar: as its configuration says, or where a person sees it."""
    wanted = tree["trainer"]["enable_progress_bar"]
    return sys.stderr.isatty() if wanted is None else wanted
