"""Measure a finished run again, as it was trained or under other settings.

  python scripts/evaluate.py runs/reverse/soft/default-12345678
  python scripts/evaluate.py RUN evaluate_as=argmax
  python scripts/evaluate.py RUN task.shortest=11 task.longest=20
  python scripts/evaluate.py RUN --show 3 --rules --lengths 16,64,256

RUN is the folder of a run that is done. Nothing in it changes. Without more,
the figures are those at the end of training, to the digit.

--show N prints N examples of the validation below them, with a map of where the
model looks, and adds a folder shown/ to the run, with the maps as PNG and one
HTML page. --rules reads the test by every rule, and by other betas. --lengths
N,N,... makes 1,000 sequences of each length, says at which length the attention
was predicted to break and where it did, and adds a folder lengths/ to the run.

KEY=VALUE changes a setting for this measurement: how the trained attention is
read (evaluate_as), the length of made data (task.shortest and task.longest),
the files of task=pairs (task.val, task.test), where it is computed
(trainer.accelerator). What is not named stays as in the config.yaml
of the run; groups stay too, since another attention or model would have to be
trained first.

Code that a run names is looked up only where it is attnlab's own: for a run of
yours, --trust PACKAGE (or --config-dir DIR, the folder that names it) says so.

The keys of attention and task are listed below; those of another choice by
naming it: python scripts/evaluate.py attention=hard_reinforce --help. The keys
of all groups are listed by python scripts/train.py --help.
"""

import copy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab import shell
from attnlab.cli.answers import SUCCESS, answered, shown, version
from attnlab.cli.pages import noted, table
from attnlab.config.arguments import HELP, options_and_trust, overrides_in, values_of
from attnlab.config.checking import ConfigurationError, check, texts
from attnlab.config.help import keys_page
from attnlab.config.overrides import key_of, parse
from attnlab.config.trainer import OF_MEASURING, measuring_conflicts
from attnlab.config.unknown import unknown_keys
from attnlab.progress import tell
from attnlab.runs import kept, origin
from attnlab.runs.kept import ASKED
from attnlab.runs.opening import opened
from attnlab.settings import LONGEST
from attnlab.text import unbroken, wrapped

if TYPE_CHECKING:  # which loads torch
    from attnlab.runs.examples import Example


def evaluate(arguments: list[str], doc: str | None) -> int:
    """`scripts/evaluate.py`: a finished run's figures, under settings that may differ from those it was
    trained with."""
    if set(HELP) & set(arguments):
        chosen = overrides_in([argument for argument in arguments if "=" in argument])
        return answered(
            lambda: shown((doc or "").strip() + "\n\n" + keys_page(chosen, ("attention", "task")))
        )
    if "--version" in arguments:
        return answered(lambda: shown(version()))
    return answered(lambda: _evaluate(*options_and_trust(arguments)))


def _evaluate(typed: list[str], trusted: list[str]) -> int:
    if not typed:
        usage = unbroken(shell.script("evaluate", "RUN"))
        raise ConfigurationError(f"the folder of a run must be given:\n{usage}\n--help tells more")
    show, typed = values_of(("--show",), typed)
    lengths, typed = values_of(("--lengths",), typed)
    number, lengths = _number(*show[-1:]), _lengths(*lengths[-1:])
    rules, typed = "--rules" in typed, [word for word in typed if word != "--rules"]
    folder, overrides = Path(typed[0]), overrides_in(typed[1:])
    tree, state, best, _ = opened(folder, trusted)
    if state != "done":
        print(
            wrapped(f"this run is {state}, not done: the figures are those of its best checkpoint so far"),
            file=sys.stderr,
        )
    before = copy.deepcopy(tree)
    changes, keeps = changed(tree, overrides), kept.kept_by(folder)
    try:
        check(tree, conflicts=measuring_conflicts, unread=keeps.unread)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{folder / 'config.yaml'}: {error}" if not overrides else str(error)
        ) from None
    said = list(kept.remarks(keeps, tree, {key_of(override) for override in overrides}))
    tell(f"measuring {folder}; loading torch")
    if words := origin.other_code(folder, tree):
        print(wrapped(f"{words}: figures may differ"), file=sys.stderr)
    from attnlab.building import assemble
    from attnlab.runs import dependence, run
    from attnlab.runs.notes import notes

    run.quiet()
    run.torch.set_num_threads(tree["threads"])
    _refuse(dependence.without_effect(before, tree, best, trusted, keeps.vocabulary))
    built = assemble(tree, trusted, kept=keeps.vocabulary)
    results = run.measure(built, best, tell)
    print(table(results))
    print(noted([*said, *notes(built.task, results)]), end="")
    print(f"\nrun      {folder}" + (f"\nchanged  {' '.join(changes)}" if changes else ""))
    if number:
        _show(run.examples(built, number), folder, changes)
    if rules or lengths:
        from attnlab.cli import readings
    if rules:
        print()
        readings.read_rules(built)
    if lengths:
        print()
        readings.read_lengths(built, lengths, folder)
    return SUCCESS


def _lengths(said: str | None = None) -> list[int]:
    """The lengths of `--lengths N,N,...`; none without it."""
    if said is None:
        return []
    numbers = [int(part) if part.isdecimal() else 0 for part in said.split(",")]
    if not all(1 <= number <= LONGEST for number in numbers):
        raise ConfigurationError(
            f"--lengths takes whole numbers from 1 to {LONGEST:,}, as 16,64,256; got {said!r}"
        )
    return sorted(set(numbers))


def _number(said: str | None = None) -> int:
    """How many examples `--show N` asks for, 0 without it."""
    if said is None:
        return 0
    number = int(said) if said.isdecimal() else 0
    if not 1 <= number <= _MOST:
        raise ConfigurationError(f"--show must be a number of examples from 1 to {_MOST}, got {said!r}")
    return number


_MOST = 100


def _show(examples: Sequence["Example"], folder: Path, changes: Sequence[str]) -> None:
    """Print the examples, and write them beside the run."""
    from attnlab.cli import showing

    print(f"\n{showing.in_characters(examples)}")
    try:
        page = showing.written(examples, folder / "shown", " ".join([str(folder), *changes]))
        print(f"\nshown    {page}")
    except OSError as error:
        print(wrapped(f"not written: {folder / 'shown'}: {error.strerror}"), file=sys.stderr)


_MEASURED = ("batch_size", "threads", "evaluate_as", *(f"trainer.{name}" for name in OF_MEASURING))
"""What a measurement depends on beside the trained parameters and the objects of some groups."""


def _refuse_without_effect(keys: list[str], tree: Mapping[str, Any]) -> None:
    groups = tuple(f"{group}." for group in ASKED)
    _refuse([key for key in keys if key not in _MEASURED and not key.startswith(groups)])
    for key in keys:
        if key == "attention.beta" and tree["attention"].get("beta_schedule", "constant") != "constant":
            raise ConfigurationError(
                "attention.beta is where the schedule of this run began; another beta needs with it "
                "attention.beta_schedule=constant attention.beta_end=null attention.beta_steps=null"
            )


def _refuse(keys: list[str]) -> None:
    for key in keys:
        raise ConfigurationError(
            f"{key} changes nothing that is measured; it decided how the run was trained"
        )


def changed(tree: dict[str, Any], overrides: list[str]) -> list[str]:
    """Change settings of a stored configuration in place; returns the overrides.

    Raises ConfigurationError for settings that it does not have, and for those that a measurement does not
    depend on.
    """
    parsed = parse(overrides, texts(tree))
    problems = list(
        unknown_keys({override.key_or_group: override.value() for override in parsed}, tree).values()
    )
    problems += [f"{override} leaves out a setting" for override in overrides if override.startswith("~")]
    if problems:
        raise ConfigurationError("\n".join(problems))
    for override in parsed:
        *path, last = override.key_or_group.split(".")
        node = tree
        for name in path:
            node = node[name]
        if isinstance(node.get(last), Mapping):
            raise ConfigurationError(
                f"{override.key_or_group} is a group; a finished run keeps its {last}, its settings "
                "can be changed"
            )
        node[last] = override.value()
    _refuse_without_effect([override.key_or_group for override in parsed], tree)
    return overrides
