"""Train one model, or with -m several, and measure each on held-out data.

  python scripts/train.py attention=soft
  python scripts/train.py attention=hard_reinforce attention.samples=8 seed=1
  python scripts/train.py -m attention=soft,hard_reinforce seed=0,1,2

A run is kept in runs/<task>/<attention>/, in a folder named by what differs
from the defaults: configuration, figures, checkpoints, log, and events for
TensorBoard. The same command typed again prints the result of a finished run,
goes on with an interrupted one, and tries a failed one again. Whatever cannot
be, a typo or a value out of range, is refused before anything is written.

  -h, --help          this page; the groups named beside it choose whose keys
                      it lists
  -m, --multirun      a sweep: every combination of the values named with
                      commas; hydra/launcher=joblib hydra.launcher.n_jobs=4
                      runs four at a time
  --config-dir DIR    a folder with choices of your own: DIR/attention/mine.yaml
                      is attention=mine
  --cfg job           print the whole configuration and stop

The Tab key completes groups, choices and keys in bash, once you have typed:

  eval "$(python scripts/train.py -sc install=bash)"
"""

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab import interruption, shell
from attnlab.cli.answers import FAILED, SUCCESS, answered, said, shown, version
from attnlab.cli.pages import report, sweep_table
from attnlab.cli.services import FLAGS, service
from attnlab.config.arguments import HELP, overrides_in
from attnlab.config.checking import ConfigurationError
from attnlab.config.composing import Composition, compose, may_stop, to_the_end
from attnlab.config.engine import is_launcher
from attnlab.config.help import help_page
from attnlab.progress import tell
from attnlab.runs import folders, origin, stored
from attnlab.runs.identity import data_digests
from attnlab.text import counted, wrapped

_GOES_ON = "the same command goes on from the last checkpoint if there is one"
_SWEEP_GOES_ON = "the same command runs what is missing, each run from its last checkpoint if it has one"


def train(arguments: list[str], doc: str | None) -> int:
    """`scripts/train.py`: one run of the configuration that the overrides describe, or Hydra's own
    services."""
    rest = [argument for argument in arguments if argument not in (*HELP, "-m", "--multirun")]
    if set(HELP) & set(arguments):
        return answered(lambda: shown(help_page(doc or "", overrides_in(rest))))
    if "job" in rest and {"--cfg", "-c"} & set(rest):
        settings = [argument for argument in rest if argument not in ("--cfg", "-c", "job")]
        return answered(lambda: shown(folders.as_yaml(compose(overrides_in(settings)).tree).rstrip()))
    if "--version" in arguments:
        return answered(lambda: shown(version()))
    if set(FLAGS) & set(arguments):
        return answered(lambda: service(arguments))
    sweep = rest != arguments
    interruption.leaves(lambda: f"interrupted; {_SWEEP_GOES_ON if sweep else _GOES_ON}")
    return answered(lambda: _train_many(overrides_in(rest)) if sweep else _train_one(overrides_in(rest)))


def interrupted(folder: Path, fresh: bool) -> str:
    """What an interrupted run has left, and so what the same command does."""
    again = "the same command without fresh=true" if fresh else "the same command"
    if folders.read_results(folder) is not None:
        return f"interrupted; the run is done, and {again} prints its result"
    if not folders.can_go_on(folder):
        return f"interrupted before the first checkpoint; {again} starts over"
    step = ""
    with contextlib.suppress(Exception):  # where torch is still being loaded
        checkpoint = sys.modules["attnlab.runs.run"].load(folder / "checkpoints" / "last.ckpt")
        step = f", of step {checkpoint['global_step']:,}"
    return f"interrupted; {again} goes on from the last checkpoint{step}"


def _train_one(overrides: list[str]) -> int:
    """Train, go on with, or report the run that the overrides describe."""
    if launcher := next(filter(is_launcher, overrides), None):
        raise ConfigurationError(f"{launcher} is for sweeps, and this is one run: a sweep needs -m")
    composition = compose(overrides)
    data = data_digests(composition.tree)
    folder = folders.folder_of(composition, data)
    if may_stop(composition, overrides) and not folder.exists():
        whole = to_the_end(composition)
        if (there := folders.folder_of(whole, data)).exists():  # of a sweep, or of an earlier version
            composition, folder = whole, there
    if composition.tree["fresh"]:
        aside = folders.move_aside(folder)
        if aside is not None:
            print(f"the old run is now {aside}")
    interruption.leaves(lambda: interrupted(folder, composition.tree["fresh"]))
    _mend(folder, composition.tree)
    if (results := folders.read_results(folder)) is not None:
        print(report(composition, folder, results))
        other = _other_code(folder, composition.tree)
        print(wrapped(f"this run was done already; fresh=true moves it aside and starts over{other}"))
        return SUCCESS
    elif folders.can_go_on(folder):
        print(
            wrapped(f"going on from the last checkpoint{_other_code(folder, composition.tree)}"),
            file=sys.stderr,
        )
    if words := origin.other_data(folder, composition.tree, data):
        print(wrapped(f"{words}: this is another run, which begins at step 0"), file=sys.stderr)
    if composition.tree["trainer"]["enable_progress_bar"] is not False:
        tell(intention(composition, folder))
    from attnlab.runs import run

    started = time.monotonic()
    try:
        results = run.train(composition.tree, folder, data, folders.shown(composition))
    except run.RunFailed as error:
        return said(FAILED, f"the run failed: {error}")
    print(report(composition, folder, results, time.monotonic() - started))
    return SUCCESS


def intention(composition: Composition, folder: Path) -> str:
    """What is about to happen, in a sentence."""
    tree, choices = composition.tree, composition.choices
    limits = {"max_steps": "step", "max_epochs": "epoch"}
    ends = [counted(tree["trainer"][key], noun) for key, noun in limits.items() if tree["trainer"][key] > 0]
    most = "at most " if ends and tree["stop_at"] is not None else ""
    long = most + (" or ".join(ends) or "no end")
    what = f"{choices['attention']} on {choices['task']}, seed {tree['seed']}"
    return f"{what}: {long} into {folder}; loading torch"


def _mend(folder: Path, tree: Mapping[str, Any]) -> None:
    """Name the files of a run that cannot be read. Its configuration is known by its folder; the others are
    made anew by what follows."""
    done = folders.read_results(folder) is not None
    for name, problem in stored.damage(folder).items():
        lost = done and name == "sources.json"
        what = "which code and data it was made from is not known" if lost else "made anew"
        print(wrapped(f"{problem}; {what}"), file=sys.stderr)
        if name == "config.yaml":
            folders.write_config(folder, tree)


def _other_code(folder: Path, tree: Mapping[str, Any]) -> str:
    """A sentence where a run was made by other code than today's."""
    words = origin.other_code(folder, tree)
    return f"\n{words}: figures may differ" if words else ""


def _train_many(overrides: list[str]) -> int:
    """Train every run of a sweep that is not done yet, and tell what became of each."""
    tell("planning the sweep; loading torch")
    from attnlab.runs import sweeps

    jobs = sweeps.plan(overrides)
    if any(job.composition.tree["fresh"] for job in jobs):
        for job in jobs:
            folders.move_aside(job.folder)
    for job in jobs:
        _mend(job.folder, job.composition.tree)
    skipped = {job.folder for job in jobs if folders.read_results(job.folder) is not None}
    missing = [job for job in jobs if job.folder not in skipped]
    tell(f"{counted(len(jobs), 'run')}: {len(skipped)} done already, {len(missing)} to do")
    begun = [job for job in jobs if job.folder in skipped or folders.can_go_on(job.folder)]
    others = Counter(origin.other_code(job.folder, job.composition.tree) for job in begun)
    for words, number in others.items():
        if words:
            tell(f"{number} of them, done or begun: {words}; fresh=true moves all aside and starts over")
    for words in dict.fromkeys(
        origin.other_data(job.folder, job.composition.tree, job.data) for job in missing
    ):
        if words:
            tell(f"{words}: the run of the new data is another one")
    if missing:
        sweeps.launch(missing, overrides)
    outcomes = [(job, sweeps.outcome_of(job)) for job in jobs]
    print(sweep_table(outcomes, skipped))
    runs_dir = Path(jobs[0].composition.tree["runs_dir"])
    from attnlab.comparison.places import names

    own = names([job.folder for job in jobs], runs_dir)
    print(f"\ncompare      {shell.script('compare', *own)}" if own else "")
    print(f"tensorboard  {shell.tensorboard(os.path.commonpath([job.folder.parent for job in jobs]))}")
    print(f"then open    {shell.CHARTS}")
    return SUCCESS if all(outcome.state == "done" for _, outcome in outcomes) else FAILED
