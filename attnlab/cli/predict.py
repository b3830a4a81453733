"""Ask a finished run about new sources: its outputs, one a line.

  python scripts/predict.py RUN words.txt
  python scripts/predict.py RUN words.txt --beam 5 --alignments
  python scripts/predict.py RUN - evaluate_as=argmax

RUN is the folder of a run; nothing in it changes. FILE holds one source a line,
in the format of the run's data: its separator and, where it has features, its
columns, without the target. Without FILE, or with -, sources are read from the
standard input and answered as they come. Sources of made tasks are the numbers
that their batches hold, a blank between two.

Lines with tabs come out, the first of them with the names of the columns:

the source     in one or two columns, as it was given
rank           with --beam: from the best to the worst
prediction     in the format of a target
log_prob       log p(prediction), its end included, in nats
alignment      with --alignments: for each symbol of the prediction the place of
               the source where the model looked most, features counted first,
               and how much of its attention lay there: 3:0.98
note           symbols that training never saw; an output without an end

evaluate_as=... reads the attention by another rule than the run's own;
threads=N, trainer.accelerator=cpu and trainer.precision=64-true say where and
how it is computed, task.source_separator and task.target_separator what stands
between symbols. Code that a run names runs only where it is attnlab's own: for
a run of yours, --trust PACKAGE or --config-dir DIR says so.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab import shell
from attnlab.cli.answers import SUCCESS, answered, parser
from attnlab.cli.evaluate import changed
from attnlab.config.arguments import options_and_trust, overrides_in
from attnlab.config.checking import ConfigurationError
from attnlab.config.overrides import key_of
from attnlab.files import is_file
from attnlab.progress import tell
from attnlab.runs import kept, origin
from attnlab.runs.opening import Opened, opened
from attnlab.text import unbroken

if TYPE_CHECKING:  # which loads torch
    from attnlab.runs.predicting import Prediction, Trained
    from attnlab.tasks.lines import Source

_SETTINGS = ("evaluate_as", "threads", "trainer.accelerator", "trainer.precision")
_SETTINGS += ("task.source_separator", "task.target_separator")
_BOM = b"\xef\xbb\xbf"


def predict(arguments: list[str], doc: str | None) -> int:
    """`scripts/predict.py`: the outputs of a finished run for new sources."""
    options = parser("predict", "RUN [FILE or -] [KEY=VALUE ...] [--beam N] [--alignments]", doc)
    options.add_argument("words", nargs="*", metavar="RUN FILE KEY=VALUE", help="see above")
    options.add_argument("--beam", type=int, metavar="N", help="the N best outputs of each source")
    options.add_argument(
        "--length-normalised", action="store_true", help="the best by log-probability a symbol"
    )
    options.add_argument("--alignments", action="store_true", help="where each symbol came from")
    options.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help="see above")
    options.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="see above")
    given = vars(options.parse_intermixed_args(arguments))
    return answered(lambda: _predict(**given))


def _predict(
    words: list[str],
    beam: int | None,
    length_normalised: bool,
    alignments: bool,
    trust: list[str],
    config_dir: list[str],
) -> int:
    if not words:
        usage = unbroken(shell.script("predict", "RUN", "FILE"))
        raise ConfigurationError(f"the folder of a run must be given:\n{usage}\n--help tells more")
    run, *rest = words
    files = [word for word in rest if "=" not in word or is_file(word)]
    overrides = overrides_in([word for word in rest if word not in files])
    if len(files) > 1:
        raise ConfigurationError(f"one FILE is read, got {' and '.join(files)}")
    if beam is not None and not 1 <= beam <= 1000:
        raise ConfigurationError(f"--beam must be a number of outputs from 1 to 1,000, got {beam}")
    if length_normalised and beam is None:
        raise ConfigurationError("--length-normalised says which of several outputs is best: it needs --beam")
    options = [f"--trust={name}" for name in trust] + [f"--config-dir={place}" for place in config_dir]
    folder, trusted = Path(run), options_and_trust(options)[1]
    found = opened(folder, trusted)
    for key in map(key_of, overrides):
        if key not in _SETTINGS:
            raise ConfigurationError(f"{key} cannot be changed here, only {', '.join(_SETTINGS)}")
    changed(found.tree, overrides)
    found.check()
    name = files[0] if files else "-"
    content = None if name == "-" else _content(name)
    tell(f"predicting with {folder}; loading torch")
    for said in _told(folder, found):
        tell(said)
    from attnlab.runs import predicting

    predicting.torch.set_num_threads(found.tree["threads"])
    model = predicting.trained(found, trusted)
    sources = _typed(model) if content is None else iter([model.read(content, name=name)])
    ranks = beam is not None
    heading = [*model.lines.columns, *["rank"] * ranks, "prediction", "log_prob"]
    _print(["\t".join([*heading, *["alignment"] * alignments, "note"])])
    for part in sources:
        for start in range(0, len(part), _AT_ONCE):
            several = part[start : start + _AT_ONCE]
            answers = model.search(several, beam or 1, length_normalised, alignments)
            _print(
                _line(model, source, output, [str(rank)] * ranks)
                for source, outputs in zip(several, answers, strict=True)
                for rank, output in enumerate(outputs, 1)
            )
    return SUCCESS


def _told(folder: Path, run: Opened) -> Iterator[str]:
    """What to know before believing a prediction."""
    if run.state != "done":
        yield f"this run is {run.state}, not done: the model is its best checkpoint so far"
    if words := origin.other_code(folder, run.tree):
        yield f"{words}: predictions may differ"
    if not run.vocabulary:
        yield from kept.remarks(kept.kept_by(folder), run.tree, ())


def _print(lines: Iterable[str]) -> None:
    print("".join(f"{line}\n" for line in lines), end="", flush=True)


_AT_ONCE = 4000
"""Sources whose outputs are shown together."""


def _line(model: "Trained", source: "Source", output: "Prediction", rank: list[str]) -> str:
    """An output as it is shown."""
    columns = [*source.columns, *rank, model.lines.separator.join(output.symbols), f"{output.log_prob:.4f}"]
    if output.weights is not None:
        share, place = output.weights.max(-1)
        pairs = zip(place.tolist(), share.tolist(), strict=True)
        columns.append(" ".join(f"{at + 1}:{much:.2f}" for at, much in pairs))
    unknown = [f"unknown {' '.join(source.unknown)}"] if source.unknown else []
    notes = [*unknown, *([] if output.ended else [f"not ended after {model.limit} symbols"])]
    return "\t".join([*columns, "; ".join(notes)])


def _content(name: str) -> list[bytes]:
    """The lines of a file."""
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{name}: expected a file of one source a line, got: {error.strerror}"
        ) from None
    content = content.removeprefix(_BOM)
    return content.removesuffix(b"\n").split(b"\n") if content else []


def _typed(model: "Trained") -> Iterator[list["Source"]]:
    """Sources from the standard input, as they come, up to the first that cannot be; on a terminal, that one
    is told and passed over."""
    if sys.stdin.isatty():
        tell(f"one source a line ({', '.join(model.lines.columns)}); Ctrl-D ends")
    number = 0
    for lines in _arriving():
        found = []
        for line in lines:
            number += 1
            try:
                found += model.read([line], number)
            except ValueError as error:
                if not sys.stdin.isatty():
                    yield found
                    raise
                tell(f"error: {error}")
        yield found


def _arriving() -> Iterator[list[bytes]]:
    """The lines of the standard input that are there already, then those that come."""
    rest, first = b"", True
    while piece := sys.stdin.buffer.read1(1 << 16):  # pyright: ignore[reportAttributeAccessIssue]
        whole, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            yield (whole.removeprefix(_BOM) if first else whole).split(b"\n")
            first = False
    if rest:
        yield [rest.removeprefix(_BOM) if first else rest]
