"""The microscope on the weights of a run, and over runs that were looked at while they trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attnlab.cli.answers import SUCCESS
from attnlab.config.checking import ConfigurationError
from attnlab.progress import tell
from attnlab.runs.opening import Opened
from attnlab.text import counted, wrapped

if TYPE_CHECKING:
    from attnlab.microscope.chart import Over
    from attnlab.runs.looking import Look

OVER: tuple[Literal["beta", "length"], ...] = ("beta", "length")
_EXAMPLES, _DPI = 8, 220
"""Of the validation, on which gradients are taken; pixels an inch of a picture."""
_LEGEND = (
    "bias: relative to the length of the gradient of its own objective, at all weights, with its standard "
    "error; <x: what is told from 0 only above x. scores: likewise at the scores, where a wrong estimator "
    "shows first. expected: against the gradient of the expected loss, which another objective does not "
    "follow. ms: of one estimate."
)


def look_at(
    folder: Path,
    run: Opened,
    trusted: list[str],
    checkpoint: str,
    mechanisms: list[str] | None,
    draws: int,
    seed: int,
    over: list[str],
    target: float | None,
) -> int:
    """Print a line a mechanism, then advice where a target is given; write all places and pictures."""
    from PIL import Image

    from attnlab.microscope import chart, files
    from attnlab.microscope.advice import advice
    from attnlab.runs import looking

    looking.torch.set_num_threads(run.tree["threads"])
    look = looking.look(run, trusted, checkpoint, mechanisms, _EXAMPLES, draws, seed, tell)
    found = {}
    for name, one in look.survey():
        if not found:
            print(files.HEADING)
        found[name] = one
        print(files.line(name, one), flush=True)
    if not found:
        raise ConfigurationError("none of these mechanisms can stand in the model of this run")
    out = folder / "microscope" / Path(checkpoint).stem
    files.keep(out.with_suffix(".csv"), 0, found)
    Image.fromarray(chart.chart(found, dpi=_DPI)).save(out.with_suffix(".png"))
    print(f"\n{wrapped(_LEGEND)}")
    if target is not None:
        print(f"\n{wrapped(advice(found, target))}")
    print(f"\nall places   {out}.csv\npicture      {out}.png", flush=True)
    for what in OVER:
        if over.count(what):
            _over(look, what, out.with_name(f"{out.name}_over_{what}"))
    return SUCCESS


def _over(look: "Look", what: "Over", beside: Path) -> None:
    """Look again at each beta, or each length, and write rows and a picture."""
    from PIL import Image

    from attnlab.microscope import chart, files

    every = {}
    for at, each in look.over(what):
        tell(f"{what} {at:g}: {counted(len(each), 'mechanism')}")
        every[at] = each
    files.keep_over(beside.with_suffix(".csv"), what, every)
    Image.fromarray(chart.chart_over(every, what, _DPI)).save(beside.with_suffix(".png"))
    print(f"over {what:8}{beside}.csv, .png", flush=True)


def account(folder: str, markdown: bool) -> int:
    """Print how what was found early in training goes with what runs came to."""
    from attnlab.comparison.account import ACCURACY, FIGURES, PLACES, accounts, correlation
    from attnlab.comparison.reading import load_runs

    found = list(accounts(load_runs(folder)))
    tasks = sorted({one.task for one in found})
    rows = [
        (figure, place, correlation(found, figure, place))
        for place in PLACES
        for figure in FIGURES
        if found and all((figure, place) in one.figures for one in found)
    ]
    if not rows:
        raise ConfigurationError(
            f"a run counts that is done and was looked at with its own mechanism (callbacks=microscope), and "
            f"none in {folder} is"
        )
    steps = ", ".join(str(step) for step in sorted({one.step for one in found}))
    mechanisms = counted(len({one.mechanism for one in found}), "mechanism")
    said = (
        f"{counted(len(found), 'run')} of {mechanisms}: Spearman's rank correlation of what was found at "
        f"step {steps} with {ACCURACY}, on each task and in their mean; its 95 % interval is over "
        "resampled mechanisms."
    )
    table = [["error", "place", "mean", "interval", *tasks]]
    for figure, place, seen in rows:
        numbers = [f"{seen.tasks[task]:.2f}" for task in tasks]
        table.append(
            [
                f"`{figure}`" if markdown else figure,
                place,
                f"{seen.mean:.2f}",
                f"{seen.lower:.2f} to {seen.upper:.2f}",
                *numbers,
            ]
        )
    if markdown:
        lines = [f"| {' | '.join(cells)} |" for cells in table]
        print("\n".join([said, "", lines[0], "|---" * len(table[0]) + "|", *lines[1:]]))
    else:
        print(f"{wrapped(said)}\n")
        for error, place, mean, interval, *each in table:
            print(f"{error:24}{place:9}{mean:>6}{interval:>17}" + "".join(f"{cell:>12}" for cell in each))
    return SUCCESS
