"""What a softmax lets through of a gradient, and the comparison that draws it over what arrived."""

import csv
from pathlib import Path

import pytest
import torch

from attnlab.cli.compare import compare
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.comparison.saturation import by_beta, table, verdict
from attnlab.tasks.batch import Batch
from attnlab.training.answers import Predictions
from attnlab.training.saturation import softmax_jacobian

FEW = (
    "trainer.max_steps=4 trainer.log_every_n_steps=2 task.validation_examples=9 task.test_examples=5".split()
)
FEW += "task.steps_per_epoch=2 model.hidden_size=6 model.embedding_size=5 task.longest=5".split()


@pytest.mark.parametrize("beta", [0.3, 1.0, 9.0])
def test_times_beta_it_is_the_norm_of_the_derivative_of_softmax(beta: float) -> None:
    """Two sites, three steps of which the last is padding, five positions of which one is masked."""
    scores = torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores[..., 4] = -torch.inf
    probs = torch.softmax(beta * scores, -1)
    valid = torch.tensor([[True, True, False]])
    empty = torch.zeros(1, 3, dtype=torch.int64)
    batch = Batch(torch.zeros(1, 5, dtype=torch.int64), empty, torch.zeros(1, 3, 5, dtype=torch.bool))
    above, below = softmax_jacobian(Predictions(batch, torch.zeros(1, 3, 2), probs, valid))

    def softmax(row: torch.Tensor) -> torch.Tensor:
        return torch.softmax(beta * row, -1)

    rows = scores[:, 0, :2, :4].reshape(-1, 4)
    norms = [torch.autograd.functional.jacobian(softmax, row).norm().item() for row in rows]  # pyright: ignore
    assert beta * torch.as_tensor(above).sum().item() == pytest.approx(sum(norms), rel=1e-9)
    assert torch.as_tensor(below).sum().item() == 4


def test_a_softmax_that_has_decided_lets_nothing_through() -> None:
    probs = torch.eye(5)[None, None, :3]
    batch = Batch(torch.zeros(1, 5).long(), torch.zeros(1, 3).long(), torch.zeros(1, 3, 5).bool())
    seen = Predictions(batch, torch.zeros(1, 3, 2), probs, torch.ones(1, 3).bool())
    assert torch.as_tensor(softmax_jacobian(seen)[0]).sum().item() == 0.0


def test_a_comparison_draws_what_is_let_through_over_the_gradient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are put in place of those logged: gradients of 3, 3 and 60 where 1, 1 and 2 is let through;
    their ratios 3, 3 and 30 have the geometric mean 3 * 10^(1/3)."""
    monkeypatch.chdir(tmp_path)
    assert train(["-m", *FEW, "attention.beta=1,2,4", "seed=0", "runs_dir=runs"], None) == 0
    planted = {1.0: (3.0, 1.0), 2.0: (3.0, 0.5), 4.0: (60.0, 0.5)}
    for run in load_runs("runs"):
        gradient, jacobian = planted[run.config["attention"]["beta"]]
        with (run.folder / "metrics.csv").open(newline="") as file:
            head, first, *rest = list(csv.reader(file))
        first[head.index("grad_norm/attention")] = str(gradient)
        first[head.index("train/softmax_jacobian")] = str(jacobian)
        with (run.folder / "metrics.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, first, *rest])
    assert by_beta(load_runs("runs")[:1]) == [] and table([]) == verdict([]) == "", "one beta is no line"
    (group,) = by_beta(load_runs("runs"))
    scale = 3 * 10 ** (1 / 3)
    assert group.betas == [1.0, 2.0, 4.0] and group.measured == pytest.approx([3, 3, 60])
    assert group.predicted == pytest.approx([scale, scale, 2 * scale])
    assert group.right() == [False, False, False] and "at 0 of 3 betas" in verdict([group])
    capsys.readouterr()
    assert compare(["runs", "--out", "out"], None) == 0
    assert table([group]) in capsys.readouterr().out
    assert (tmp_path / "out" / "gradient.png").read_bytes().startswith(b"\x89PNG")
    assert "at 0 of 3 betas" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
