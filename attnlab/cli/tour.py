"""A tour of argmax, hardmax, softmax, softargmax and beta, in ten minutes.

  python scripts/tour.py
  python scripts/tour.py --out notes/tour
  python scripts/tour.py | less

It prints a worked example and writes one page with figures and sliders
(tour.html, which opens without a network, on a phone too), the figures as PNG,
and a TensorBoard run with them.
"""

from collections.abc import Sequence
from pathlib import Path

from attnlab import shell
from attnlab.cli.answers import answered, parser, shown
from attnlab.progress import counting, tell

PAGE, _TENSORBOARD = "tour.html", "tensorboard"


def tour(arguments: Sequence[str], doc: str | None) -> int:
    """Print the example, write the page; what a person can mend is one message and no traceback."""
    options = parser("tour", "[--out DIR]", doc)
    told = "where the page, the figures and the TensorBoard run are written; default: %(default)s"
    options.add_argument("--out", type=Path, default=Path("tour"), metavar="DIR", help=told)
    out: Path = options.parse_args(arguments).out
    return answered(lambda: _tour(out))


def _tour(out: Path) -> int:
    tell("loading torch; a worked example comes first, then the pictures")
    import torch

    from attnlab.tour import example

    torch.set_num_threads(1)  # small tensors are fastest with one
    print(example.text(), flush=True)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out names a folder to write to, and {out} is a file")
    out.mkdir(parents=True, exist_ok=True)
    tell("\ndrawing, which takes ten seconds or more ...")
    return shown(f"\n{_write(out)}")


def _write(out: Path) -> str:
    """Draw everything, write it, and return what is said of it."""
    from attnlab.config.composing import choices
    from attnlab.tour import arrows, board, figures, overview, page, training

    draws, names = (*figures.FIGURES, *training.FIGURES), choices("attention")
    drawn = {f"{draw.__name__}.png": draw() for draw in counting(draws, len(draws), "picture")}
    found = map(arrows.measured, counting(names, len(names), "mechanism"))
    measured = sorted(found, key=lambda one: one.objective != "expected")
    gallery = [page.Picture(one.name, arrows.arrows(one), arrows.caption(one)) for one in measured]
    images = (
        {"overview.png": overview.overview()}
        | drawn
        | {f"arrows/{picture.heading}.png": picture.png for picture in gallery}
    )
    (out / "arrows").mkdir(exist_ok=True)
    for name, png in images.items():
        (out / name).write_bytes(png)
    (out / PAGE).write_text(page.page(drawn, gallery), encoding="utf-8")
    board.write(images, out / _TENSORBOARD)
    said = {
        "page": f"{out / PAGE}, for a browser; it needs no network",
        "figures": f"{len(images)}, in {out}",
        "tensorboard": shell.tensorboard(out / _TENSORBOARD),
    }
    return "\n".join(f"{name:12} {value}" for name, value in said.items())
