"""Runs written by hand, so that every mean, bound and p-value has a known answer."""

import csv
import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from attnlab.comparison import load_runs
from attnlab.runs import folders

ROOT = Path(__file__).parents[2]
ACCURACY, TESTED = "val/sequence_accuracy", "test/sequence_accuracy"
STEPS = list(range(10, 110, 10))


def write_run(
    place: Path,
    attention: str = "soft",
    seed: int = 0,
    accuracy: float | None = 0.5,
    state: str = "done",
    changes: dict[str, dict[str, Any]] = {},  # noqa: B006 (never written)
    **status: Any,
) -> Path:
    """A run's folder whose curve rises to its accuracy in steps of a tenth."""
    config: dict[str, Any] = {
        "attention": {"_target_": f"attnlab.mechanisms.{attention}.{attention}", "beta": 1.0},
        "task": {"_target_": "attnlab.tasks.reverse.reverse", "longest": 10},
        "optimizer": {"_target_": "attnlab.training.optimizers.adam", "lr": 0.003},
        "trainer": {
            "_target_": "pytorch_lightning.Trainer",
            "max_steps": 100,
            "enable_progress_bar": None,
        },
        "score": {"_target_": "attnlab.core.scores.scaled_dot"},
        "model": {"_target_": "attnlab.models.recurrent.lstm"},
        "seed": seed,
        "runs_dir": str(place),
        "fresh": False,
    }
    for group, settings in changes.items():
        config[group] |= settings
    folder = place / "reverse" / attention / f"seed={seed}-{abs(hash(str((changes, status)))) % 16**8:08x}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    noted = {
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2026-01-01T00:01:00+00:00",
        "error": None,
        "parameters": 1234,
    }
    (folder / "status.json").write_text(json.dumps({"state": state} | noted | status), encoding="utf-8")
    (folder / "train.log").write_text("starting at step 0\n", encoding="utf-8")
    rows = [f"{step},{0.1 + seed},{(accuracy or 0) * step / 100 if step % 20 == 0 else ''}" for step in STEPS]
    (folder / "metrics.csv").write_text(
        "\n".join([f"step,train/nll,{ACCURACY}", *rows, ""]), encoding="utf-8"
    )
    if state == "done":
        results = {"val/nll": 0.5 - seed / 100, "val/attention_entropy": 0.2, "grad_norm/total": 1.5}
        results |= {} if accuracy is None else {ACCURACY: accuracy, TESTED: accuracy}
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def write_groups(place: Path, **groups: list[float]) -> None:
    """Runs of seed 0, 1, ... for each mechanism, with the accuracies given."""
    for attention, accuracies in groups.items():
        for seed, accuracy in enumerate(accuracies):
            write_run(place, attention, seed, accuracy)


def compare(*arguments: Any, code: int = 0, **options: Any) -> tuple[str, str]:
    """What the script says on both streams; checks its exit code."""
    from attnlab.cli.compare import compare

    capture = options["capsys"]
    assert compare([str(argument) for argument in arguments], "") == code
    return capture.readouterr()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# reading


def test_a_run_is_read_back_whole(tmp_path: Path) -> None:
    folder = write_run(tmp_path, seed=3, accuracy=0.8)
    (run,) = load_runs(tmp_path)
    assert (run.folder, run.seed, run.state, run.problem) == (folder, 3, "done", "")
    assert run.config["attention"]["beta"] == 1.0 and run.results[ACCURACY] == 0.8
    assert (run.parameters, run.steps, run.seconds) == (1234, 100, 60.0)
    steps, values = run.history(ACCURACY)
    assert steps.tolist() == [20, 40, 60, 80, 100] and steps.dtype == np.int64
    assert values.tolist() == [0.8 * step / 100 for step in steps]
    assert run.history("train/nll").values.tolist() == [3.1] * 10


def test_folders_globs_and_parents_name_each_run_once(tmp_path: Path) -> None:
    folders_ = [write_run(tmp_path, seed=seed) for seed in (10, 2)]
    assert [run.seed for run in load_runs(tmp_path, folders_[0], f"{tmp_path}/*/soft/*")] == [2, 10]


def test_a_row_cut_off_by_a_crash_is_no_row(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with (folder / "metrics.csv").open("a") as file:
        file.write("110,0.3")
    (run,) = load_runs(folder)
    assert run.steps == 100 and run.history("train/nll").steps.tolist() == STEPS


def test_line_ends_of_other_systems_are_read_too(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    before = load_runs(folder)[0].history(ACCURACY)
    path = folder / "metrics.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    after = load_runs(folder)[0].history(ACCURACY)
    assert np.array_equal(before.steps, after.steps) and np.array_equal(before.values, after.values)


def test_a_damaged_row_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with (folder / "metrics.csv").open("a") as file:
        file.write("110,0.3\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged"):
        load_runs(folder)[0].history(ACCURACY)


def test_an_unknown_figure_names_those_there_are(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(ValueError, match="has no history of val/nll; metrics.csv has train/nll"):
        load_runs(tmp_path)[0].history("val/nll")


def test_a_run_is_alive_only_while_its_lock_is_held(tmp_path: Path) -> None:
    folder = write_run(tmp_path, state="running")
    assert load_runs(folder)[0].problem.startswith("interrupted at step 100")
    hold = (
        "from attnlab.runs import folders; import pathlib, sys\nwith "
        f"folders.held(pathlib.Path({str(folder)!r})):\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold + "    print('held', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert holder.stdout and holder.stdout.readline() == "held\n"
    assert load_runs(folder)[0].state == "running"
    holder.communicate("")
    assert load_runs(folder)[0].state == "interrupted"


def test_what_fresh_moved_aside_is_left_where_it_is_unless_named(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    aside = folders.move_aside(write_run(tmp_path, seed=1))
    assert aside and [run.seed for run in load_runs(tmp_path)] == [0]
    assert [run.seed for run in load_runs(aside)] == [1]


def test_reading_needs_neither_torch_nor_the_extra(tmp_path: Path) -> None:
    write_run(tmp_path)
    code = f"""import sys
for name in ("scipy", "matplotlib"): sys.modules[name] = None
from attnlab.comparison import load_runs
assert load_runs({str(tmp_path)!r})[0].history({ACCURACY!r}).steps[0] == 20
assert "torch" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# the runs of a sweep by name


@pytest.mark.parametrize(
    "chosen, others, words",
    [
        (["a/soft/x=1-1", "a/soft/x=2-2"], [], ["runs"]),
        (["a/soft/x=1-1", "a/hard/x=2-2"], ["b/soft/x=1-1"], ["runs/a"]),
        (["a/soft/x=1,y=3-1", "a/soft/x=2,y=3-2"], ["a/soft/x=1,y=4-3"], ["runs/a/soft/x=*,y=3-*"]),
        (
            ["a/soft/x=1-1", "a/soft/x=2-2", "b/soft/x=1-1"],
            ["a/soft/x=3-3"],
            ["runs/a/soft/x=1-1", "runs/a/soft/x=2-2", "runs/b"],
        ),
        (["a/it's/f=a b[1]-1", "a/it's/f=a b[2]-2"], ["a/it's/g=1-3"], ["runs/a/it's/f=a b[[]*-*"]),
        (["a/soft/x=1-1"], ["a/soft/x=2-2"], []),
    ],
)
def test_runs_of_a_sweep_are_named_and_no_others(
    tmp_path: Path, monkeypatch: Any, chosen: list[str], others: list[str], words: list[str]
) -> None:
    from attnlab.comparison.places import names

    for name in [*chosen, *others]:
        place = tmp_path / "runs" / name
        place.mkdir(parents=True)
        (place / "config.yaml").write_text("seed: 0")
        (place / "status.json").write_text('{"state": "running"}')
    monkeypatch.chdir(tmp_path)
    given = names([Path("runs") / name for name in chosen], Path("runs"))
    assert given == words
    if given:
        assert {run.folder for run in load_runs(*given)} == {Path("runs") / name for name in chosen}


# grouping


def test_groups_differ_in_more_than_seed_and_what_has_no_effect(tmp_path: Path) -> None:
    from attnlab.comparison.grouping import group_runs

    for seed in (0, 1):
        write_run(tmp_path / "a", seed=seed)
        write_run(tmp_path / "a", seed=seed, changes={"attention": {"beta": 10}})
        write_run(tmp_path / "a", "hard", seed=seed)
    write_run(
        tmp_path / "b", seed=2, changes={"trainer": {"enable_progress_bar": True}, "attention": {"beta": 1}}
    )
    groups = group_runs(load_runs(tmp_path))
    assert [(group.label, [run.seed for run in group.runs]) for group in groups] == [
        ("hard", [0, 1]),
        ("soft beta=1", [0, 1, 2]),
        ("soft beta=10", [0, 1]),
    ]
    assert not any(group.merged for group in groups)


def test_merging_by_keys_says_what_differs_inside(tmp_path: Path) -> None:
    from attnlab.comparison.grouping import group_runs

    write_run(tmp_path, seed=0, changes={"attention": {"beta": 2.0}})
    write_run(tmp_path, seed=1, changes={"attention": {"beta": 10.0}, "optimizer": {"lr": 0.1}})
    write_run(tmp_path, "hard", seed=1)
    hard, soft = group_runs(load_runs(tmp_path), ["attention"])
    assert (hard.label, hard.merged) == ("hard", {})
    assert (soft.label, soft.merged) == (
        "soft",
        {"attention.beta": ["2", "10"], "optimizer.lr": ["0.003", "0.1"]},
    )


def test_groups_that_only_have_other_keys_have_other_labels(tmp_path: Path) -> None:
    from attnlab.comparison.grouping import group_runs

    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=0, changes={"optimizer": {"momentum": 0.9}})
    labels = [group.label for group in group_runs(load_runs(tmp_path))]
    assert len(labels) == len(set(labels)) == 2


def settings(**values: Any) -> dict[str, str]:
    return {key.replace("__", "."): str(value) for key, value in values.items()}


SOFT, HARD = "attnlab.mechanisms.soft.soft", "attnlab.mechanisms.reinforce.hard_reinforce"
DEFAULTS = {"attention__beta": 1, "attention__samples": 4, "attention__baseline": "leave_one_out"}


@pytest.mark.parametrize(
    "groups, expected",
    [
        ([{"attention._target_": SOFT, "attention.beta": "2"}], ["soft"]),
        ([settings(attention___target_=SOFT, attention__beta=beta) for beta in (1, 2)], ["beta=1", "beta=2"]),
        (
            [
                settings(attention___target_=SOFT, attention__beta=1),
                settings(attention___target_=HARD, **DEFAULTS),
            ],
            ["soft", "hard_reinforce"],
        ),
        (
            [
                settings(attention___target_=SOFT, attention__beta=1),
                settings(attention___target_=HARD, **DEFAULTS),
                settings(attention___target_=HARD, **DEFAULTS | {"attention__samples": 8}),
            ],
            ["soft", "hard_reinforce samples=4", "hard_reinforce samples=8"],
        ),
        (  # what is no default is not hidden
            [
                settings(attention___target_=SOFT, attention__beta=1),
                settings(attention___target_=HARD, **DEFAULTS | {"attention__beta": 5}),
            ],
            ["soft", "hard_reinforce beta=5"],
        ),
        (  # nor is it repeated where all have it
            [
                settings(attention___target_=SOFT, attention__beta=5),
                settings(attention___target_=HARD, **DEFAULTS | {"attention__beta": 5}),
            ],
            ["soft", "hard_reinforce"],
        ),
        (
            [settings(attention___target_=SOFT, task__train=f"/data/{name}.tsv") for name in ("a=1", "b")],
            ["train=a=1.tsv", "train=b.tsv"],
        ),
        (
            [settings(attention___target_=SOFT, task__train=f"/{name}/t.tsv") for name in ("a", "b")],
            ["train=/a/t.tsv", "train=/b/t.tsv"],
        ),
    ],
)
def test_labels_name_what_tells_groups_apart(groups: list[dict[str, str]], expected: list[str]) -> None:
    from attnlab.comparison.labels import labels, telling

    assert labels(groups, telling(groups)) == expected


def test_groups_that_are_numbers_stay_in_their_order_and_others_are_ranked(tmp_path: Path) -> None:
    from attnlab.comparison.comparing import make

    for beta, accuracy in ((10.0, 0.5), (0.5, 0.3), (2.0, 0.7)):
        write_run(tmp_path / "beta", accuracy=accuracy, changes={"attention": {"beta": beta}})
        write_run(tmp_path / "names", f"m{beta:.0f}", accuracy=accuracy)

    def found(place: str, metric: str = TESTED) -> list[str]:
        return [row.group.label for row in make(load_runs(tmp_path / place), metric).rows]

    assert found("beta") == ["beta=0.5", "beta=2", "beta=10"]
    assert found("names") == ["m2", "m10", "m0"] and found("names", "val/attention_entropy")[0] == "m0"


# the verdict


def verdict_of(place: Path, metric: str = TESTED) -> str:
    from attnlab.comparison.comparing import make
    from attnlab.comparison.verdict import verdict

    return verdict(make(load_runs(place), metric))


def test_the_verdict_says_what_is_ahead_by_how_much_and_how_certain(tmp_path: Path) -> None:
    seeds = [0.001 * seed for seed in range(8)]
    write_groups(tmp_path, soft=[0.9 + x for x in seeds], hard=[0.8 + 2 * x for x in seeds])
    half = 2.364624 * np.std(seeds, ddof=1) / 8**0.5  # Student, seven degrees of freedom
    difference = 0.1 - np.mean(seeds)
    bounds = f"{difference:.4f} [{difference - half:.4f}, {difference + half:.4f}]"
    assert verdict_of(tmp_path) == f"soft is ahead of hard by {bounds} over 8 seeds."


def test_the_verdict_admits_what_cannot_be_told(tmp_path: Path) -> None:
    write_groups(tmp_path / "three", soft=[0.9, 0.91, 0.93], hard=[0.1, 0.2, 0.8])
    said = verdict_of(tmp_path / "three")
    assert said.startswith(
        "No difference can be told apart with 3 seeds; soft is best, before hard by 0.5467 ["
    )
    write_groups(tmp_path / "zero", soft=[0.0, 0.0], hard=[0.0, 0.0])
    assert (
        verdict_of(tmp_path / "zero") == f"No difference with 2 seeds: hard has {TESTED} 0.0000, as has soft."
    )
    write_groups(tmp_path / "one", soft=[0.9], hard=[0.1])
    assert "fewer than two shared seeds no difference can be told apart" in verdict_of(tmp_path / "one")
    write_groups(tmp_path / "alone", soft=[0.5, 0.5])
    assert verdict_of(tmp_path / "alone") == f"soft has {TESTED} 0.5000 [0.5000, 0.5000] over 2 seeds."


def test_the_verdict_says_what_is_too_close_and_what_cannot_be_compared_yet(tmp_path: Path) -> None:
    noise = [0.01, -0.01, 0.02, -0.02, 0.0]  # t(1 - 0.05 / 6, 4) * std / sqrt(5) = 0.0280
    write_groups(tmp_path, a=[0.9] * 5, b=[0.899 + x for x in noise], c=[0.4 + x for x in noise], d=[0.3])
    assert re.fullmatch(
        r"a is ahead of c by 0\.5000 \[0\.4720, 0\.5280\] over 5 seeds; it cannot be told apart from b "
        r"\(0\.0010 \[-0\.0270, 0\.0290\] behind\); 1 group \(d\) cannot be compared yet "
        r"\(intervals that hold for all 3 pairs at once\)\.",
        verdict_of(tmp_path),
    )


def test_where_lower_is_better_the_lower_is_ahead_by_a_positive_number(tmp_path: Path) -> None:
    for seed in range(8):
        for attention, nll in (("soft", 0.2 + seed / 100), ("hard", 0.5)):
            folder = write_run(tmp_path, attention, seed)
            (folder / "results.json").write_text(json.dumps({"test/nll": nll}), encoding="utf-8")
    assert verdict_of(tmp_path, "test/nll").startswith(
        "soft is ahead of hard by 0.2650 [0.2445, 0.2855] over 8"
    )


def test_tasks_are_spoken_of_one_after_the_other(tmp_path: Path) -> None:
    for task in ("copy", "reverse"):
        for seed in range(2):
            for attention, accuracy in (("soft", 0.9), ("hard", 0.4)):
                changes = {"task": {"_target_": f"attnlab.tasks.{task}.{task}"}}
                write_run(tmp_path, attention, seed, accuracy + seed / 10, changes=changes)
    first, second = verdict_of(tmp_path).split(". ")
    found = "no difference can be told apart with 2 seeds; soft is best, before hard by 0.5000 [-"
    assert first.startswith(f"On copy: {found}") and first.endswith(
        "(intervals that hold for all 2 pairs at once)"
    )
    assert second.startswith("On reverse: no difference") and "task=" not in first


def test_failed_and_diverged_seeds_are_named_in_their_groups_row(tmp_path: Path, capsys: Any) -> None:
    write_groups(tmp_path / "runs", soft=[0.5, 0.6], hard=[0.2, 0.3, 0.4])
    write_run(tmp_path / "runs", seed=2, state="failed", error="NonFiniteLoss: nan")
    write_run(tmp_path / "runs", seed=3, accuracy=0.7, caution="diverged: the nll is 8e+31")
    out, _ = compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    assert re.search(r"^soft +3 of 4 +0\.6000 .*\n +seed 2 failed, seed 3 diverged$", out, re.M)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<td>soft<br><small>seed 2 failed, seed 3 diverged</small></td><td>3 of 4</td>" in page
    assert [row["remarks"] for row in rows_of(tmp_path / "out" / "groups.csv")] == [
        "seed 2 failed, seed 3 diverged",
        "",
    ]


def test_the_way_that_is_better_is_the_one_of_the_table_of_figures() -> None:
    from attnlab.comparison.metrics import facts

    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    table = page.partition("| figure |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `([\w/]+)`.* \| *(\w*) *\|$", table, re.M)
    assert len(told) > 15 and {better for _, better in told} == {"higher", "lower", ""}
    assert [(name, facts(f"test/{name}").better) for name, _ in told] == told
    for name in ("word_error_rate", "unfinished", "token_accuracy"):
        assert facts(f"test/{name}").bounds == (0.0, 1.0)


def test_figures_that_were_selected_on_or_are_of_one_batch_get_a_word(tmp_path: Path, capsys: Any) -> None:
    write_groups(tmp_path / "runs", soft=[0.5, 0.6])

    def said(metric: str) -> str:
        return " ".join(compare(tmp_path / "runs", "--metric", metric, capsys=capsys)[0].split())

    assert "is of the best of 5 validations, by which the checkpoint was chosen" in said(ACCURACY)
    assert "the figure of one batch" in said("train/nll") and "flatters" not in said(TESTED)


def test_a_gradient_norm_is_its_mean_over_training_in_runs_of_any_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    rows = "".join(f"{step},{step / 10}\n" for step in STEPS)
    (folder / "metrics.csv").write_text(f"step,grad_norm/total\n{rows}", encoding="utf-8")
    assert load_runs(folder)[0].results["grad_norm/total"] == 1.5  # the last one, of an old run
    assert load_runs(folder)[0].figure("grad_norm/total") == pytest.approx(5.5)
    results = {"grad_norm/total": 7.0, "grad_norm_last/total": 9.0}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert load_runs(folder)[0].figure("grad_norm/total") == 7.0


# the pictures


def cut_or_covered(figure: Any) -> list[str]:
    """What of a plot reaches over its edge, and words that lie over one another (ticks out of view, which
    are not drawn, are numbers)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (left, below), (right, above) = figure.get_tightbbox(canvas.get_renderer()).get_points()
    width, height = figure.get_size_inches()
    found = [] if min(left, below, width - right, height - above) >= 0 else ["cut"]
    shown = [
        (text.get_text(), text.get_window_extent().padded(-1))
        for text in figure.findobj(Text)
        if text.get_visible()
        and re.search("[a-z]", text.get_text())
        and (text.axes is None or text.axes.get_visible())
    ]
    covered = [(a, b) for (a, one), (b, other) in combinations(shown, 2) if one.overlaps(other)]
    assert len(shown) > 2
    return found + [f"{a} over {b}" for a, b in covered]


LONG = "a_mechanism_of_ones_own_with_a_very_long_name_that_goes_on_and_on_until_it_ends"


@pytest.mark.parametrize("kinds, betas, name", [(2, 1, "m"), (8, 5, LONG)])
def test_nothing_in_a_picture_is_cut_or_covered(tmp_path: Path, kinds: int, betas: int, name: str) -> None:
    from attnlab.comparison import against, comparing, curves, plots

    for kind in range(kinds):
        for beta in range(betas):
            for seed in range(2):
                write_run(
                    tmp_path, f"{name}{kind}", seed, (kind + 1) / (beta + 10) + seed / 50,
                    changes={"attention": {"beta": 2.0**beta}},
                )  # fmt: skip
    runs = load_runs(tmp_path)
    comparison = comparing.make(runs)
    drawn, _ = curves.curves(comparison.rows, ACCURACY)
    assert len(comparison.rows) == len(drawn) == kinds * betas
    pictures = [plots.figures(comparison), plots.learning(drawn, comparison, ACCURACY)]
    found = against.series(runs, TESTED, against.BETA)
    pictures += [plots.against(found, against.BETA)] if betas > 1 else []
    assert [cut_or_covered(picture) for picture in pictures] == [[] for _ in pictures]


# the command


def test_planted_figures_come_out_in_every_file(tmp_path: Path, capsys: Any) -> None:
    soft, hard = [0.5, 0.6, 0.9, 0.8], [0.4, 0.6, 0.7, 0.9]
    write_groups(tmp_path / "runs", hard=hard, soft=soft)
    out, err = compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    assert err == ""
    assert f"{TESTED} (higher is better): 8 runs in 2 groups" in out
    assert re.search(r"^hard +4 +0\.6500 ", out, re.M) and re.search(r"^soft +4 +0\.7000 ", out, re.M)
    second, first = rows_of(tmp_path / "out" / "groups.csv")  # the best first
    assert float(first["mean"]) == np.mean(hard) and float(second["std"]) == pytest.approx(
        np.std(soft, ddof=1), rel=1e-15
    )
    assert first["parameters"] == "1234.0" and first["steps"] == "100.0" and first["seconds"] == "60.0"
    (pair,) = rows_of(tmp_path / "out" / "pairs.csv")
    assert (pair["first"], pair["second"], pair["n"]) == ("soft", "hard", "4")
    assert float(pair["difference"]) == pytest.approx(0.05)
    assert float(pair["probability_of_improvement"]) == (2 + 0.5) / 4
    # |+-.1 +-.2 +-.1| >= .2 for 6 of 8 sign patterns, the tie doubles both
    assert float(pair["p"]) == 12 / 16
    assert len(rows_of(tmp_path / "out" / "runs.csv")) == 8
    assert max(map(len, out.split("\n\nwritten to")[0].splitlines())) <= 100


def test_what_does_not_count_is_named_with_its_reason_everywhere(tmp_path: Path, capsys: Any) -> None:
    runs = tmp_path / "runs"
    write_groups(runs, soft=[0.5, 0.6])
    reasons = {
        write_run(
            runs, seed=5, state="failed", error="NonFiniteLoss: <nan> at step 7\nmore"
        ): "NonFiniteLoss: <nan> at step 7",
        write_run(runs, seed=6, state="running"): "interrupted at step 100",
        write_run(runs, seed=7, accuracy=None): f"has no figure {TESTED}",
        write_run(runs, seed=8, accuracy=float("nan")): f"{ACCURACY} is nan",
        write_run(runs, seed=1, end="2025-01-01T00:00:00+00:00"): "the same configuration and seed as",
        write_run(runs, "broken", seed=0): "config.yaml cannot be read",
        write_run(runs, "lost", seed=0, state="failed", error="KilledError"): "KilledError",
    }
    (broken,) = (runs / "reverse" / "broken").iterdir()
    (broken / "config.yaml").write_text("{a", encoding="utf-8")
    for folder in (runs / "reverse" / "soft").glob("seed=1-*"):
        (folder / "sources.json").write_text('{"identity": "01234567"}', encoding="utf-8")
    out, _ = compare(runs, "--out", tmp_path / "out", capsys=capsys)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    left_out = {row["folder"]: row["not_counted_because"] for row in rows_of(tmp_path / "out" / "runs.csv")}
    assert "not counted (7):" in out and re.search(r"^lost +0 of 1 +- +- ", out, re.M)
    unfilled = " ".join(out.split())
    for folder, reason in reasons.items():
        assert (
            reason in unfilled
            and reason.replace("<", "&lt;").replace(">", "&gt;") in page
            and reason in left_out[str(folder)]
        )
        assert folder.name in out and folder.name in page
    assert [row["n"] for row in rows_of(tmp_path / "out" / "groups.csv")] == ["2", "0"]
    assert not re.search(r"\bnan\b", (tmp_path / "out" / "groups.csv").read_text())


def test_unequal_work_and_code_are_warned_of(tmp_path: Path, capsys: Any) -> None:
    write_groups(tmp_path / "runs", soft=[0.5, 0.6])
    for seed in (0, 1):
        write_run(
            tmp_path / "runs",
            "hard",
            seed,
            parameters=9999,
            revision="other",
            end="2026-01-01T01:00:00+00:00",
        )
    out = " ".join(compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)[0].split())
    assert "unequal work: parameters range from 1,234 (soft) to 9,999 (hard)" in out
    assert "unequal work: seconds range from 60 (soft) to 3,600 (hard)" in out
    assert "the code revision differs between runs" in out and "unequal work: steps" not in out


def test_merged_runs_of_one_seed_count_once(tmp_path: Path, capsys: Any) -> None:
    for beta, accuracies in ((1.0, [0.1, 0.2, 0.3]), (5.0, [0.3, 0.6])):
        for seed, accuracy in enumerate(accuracies):
            write_run(tmp_path / "runs", seed=seed, accuracy=accuracy, changes={"attention": {"beta": beta}})
    out, _ = compare(tmp_path / "runs", "--by", "attention", "--out", tmp_path / "out", capsys=capsys)
    (group,) = rows_of(tmp_path / "out" / "groups.csv")
    assert (group["n"], group["runs"]) == ("3", "5") and float(group["mean"]) == pytest.approx(
        np.mean([0.2, 0.4, 0.3])
    )
    assert "merges runs that differ in more than the seed: attention.beta (1, 5)" in " ".join(out.split())
    assert "the seeds were not run with the same settings" in " ".join(out.split())


def test_groups_on_different_tasks_are_not_compared(tmp_path: Path, capsys: Any) -> None:
    write_groups(tmp_path / "runs", soft=[0.5, 0.6])
    for seed in (0, 1):
        write_run(tmp_path / "runs", seed=seed, changes={"task": {"_target_": "attnlab.tasks.copy.copy"}})
    out, _ = compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    assert rows_of(tmp_path / "out" / "pairs.csv") == [] and "groups on different tasks" in out
    assert re.search("^task=copy  +2 ", out, re.M) and re.search("^task=reverse  +2 ", out, re.M)
    assert out.startswith(f"{TESTED}: task=copy 0.5000, task=reverse 0.5500; on different\n")


def test_a_figure_that_is_no_result_is_taken_from_the_end_of_training(tmp_path: Path, capsys: Any) -> None:
    write_groups(tmp_path / "runs", soft=[0.5, 0.6])
    out, _ = compare(tmp_path / "runs", "--metric", "train/nll", "--out", tmp_path / "out", capsys=capsys)
    assert "train/nll (lower is better)" in out and "last logged value is taken" in " ".join(out.split())
    assert [float(row["train/nll"]) for row in rows_of(tmp_path / "out" / "runs.csv")] == [0.1, 1.1]


def test_the_report_loads_nothing_and_holds_every_plot(tmp_path: Path, capsys: Any) -> None:
    for beta in (0.5, 1.0, 5.0):
        for seed in range(3):
            write_run(
                tmp_path / "runs",
                seed=seed,
                accuracy=beta / 10 + seed / 100,
                changes={"attention": {"beta": beta}},
            )
    compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and not re.search(r'(src|href)="(?!#)', page)
    assert "http" not in page and "<script" not in page and not re.search(r"url\((?!#)", page)
    assert 'name="viewport"' in page and "No run has val/soft_argmax_gap" in page
    for name in ("figures", "curves", "beta"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for text in (page, *((tmp_path / "out" / f"{name}.csv").read_text() for name in ("groups", "pairs"))):
        assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))


@pytest.mark.parametrize(
    "numbers, spread",
    [([0.5, 1, 2, 5, 10], True), ([2, 4, 8], True), ([0.001, 0.1], True), ([6, 8, 10], False),
     ([0, 1, 9], False), ([10, 20, 30, 40], False)],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_numbers_are_spread_so(numbers: list[float], spread: bool) -> None:
    from attnlab.comparison.against import logarithmic

    assert logarithmic([float(value) for value in numbers]) == spread


def test_figures_are_drawn_against_any_number_that_varies(tmp_path: Path, capsys: Any) -> None:
    from attnlab.comparison.against import key_of, swept

    for samples in (2, 4, 8):
        for lr in (0.001, 0.01):
            changes = {"attention": {"samples": samples}, "optimizer": {"lr": lr}}
            write_run(tmp_path / "runs", accuracy=samples / 10, changes=changes)
    runs = load_runs(tmp_path / "runs")
    assert swept(runs) == ["attention.samples", "optimizer.lr"]
    assert key_of(runs, "lr") == key_of(runs, "optimizer.lr") == "optimizer.lr"
    compare(tmp_path / "runs", "--against", "samples", "--out", tmp_path / "out", capsys=capsys)
    assert (tmp_path / "out" / "against.png").is_file() and not (tmp_path / "out" / "beta.png").exists()
    _, err = compare(tmp_path / "runs", "--against", "longest", code=2, capsys=capsys)
    assert "it has 10; those with several: attention.samples, optimizer.lr" in " ".join(err.split())


def test_series_hold_the_means_of_each_number(tmp_path: Path) -> None:
    from attnlab.comparison.against import series

    for beta in (0.5, 5.0):
        for seed in range(3):
            write_run(
                tmp_path, seed=seed, accuracy=beta / 10 + seed / 100, changes={"attention": {"beta": beta}}
            )
    write_run(tmp_path, "hard")
    (found,) = series(load_runs(tmp_path), ACCURACY, "attention.beta")[ACCURACY]
    assert (found.label, found.numbers) == ("soft", [0.5, 5.0])
    assert [summary.mean for summary in found.summaries] == pytest.approx([0.06, 0.51])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's reader
def test_event_files_hold_mean_and_bounds_of_every_group(tmp_path: Path, capsys: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    soft = np.array([0.5, 0.6, 0.9])
    write_groups(tmp_path / "runs", soft=soft.tolist(), hard=[0.3, 0.3, 0.3])
    for _ in range(2):  # a second comparison replaces the files of the first
        compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)

    def read(run: str, tag: str) -> dict[int, float]:
        events = EventAccumulator(str(tmp_path / "out" / "tensorboard" / run), {"scalars": 0})
        events.Reload()
        return {event.step: event.value for event in events.Scalars(tag)}

    for step in (20, 40, 60, 80, 100):
        bounds = [read(f"soft/{part}", ACCURACY)[step] for part in ("lower", "mean", "upper")]
        assert bounds == [read("soft", f"{ACCURACY}/{part}")[step] for part in ("lower", "mean", "upper")]
        assert bounds[1] == pytest.approx(soft.mean() * step / 100, rel=1e-6)
        half = 4.302653 * soft.std(ddof=1) / 3**0.5  # Student, two degrees of freedom
        ends = np.clip([soft.mean() - half, soft.mean() + half], 0, 100 / step)
        assert bounds[::2] == pytest.approx(ends * step / 100, rel=1e-5)
        assert bounds[0] < bounds[1] < bounds[2]
        assert [read(f"hard/{part}", ACCURACY)[step] for part in ("lower", "upper")] == pytest.approx(
            [0.3 * step / 100] * 2
        )
    files = list((tmp_path / "out" / "tensorboard").rglob("*tfevents*"))
    assert len(files) == 2 * (4 + 3) and not any(os.uname().nodename in file.name for file in files)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's reader
def test_tensorboard_shows_the_runs_under_short_names_with_what_varies(tmp_path: Path, capsys: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    for beta in (0.5, 5.0):
        for seed in range(2):
            write_run(tmp_path / "runs", seed=seed, accuracy=beta / 10, changes={"attention": {"beta": beta}})
    compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard" / "beta=5" / "seed=1"), {"scalars": 0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars(TESTED)] == [(100, 0.5)]
    assert [event.step for event in events.Scalars(ACCURACY)] == [20, 40, 60, 80, 100]
    written = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    message: Any = plugin_data_pb2  # whose classes are made when it is imported
    shown = message.HParamsPluginData.FromString(written).session_start_info.hparams
    assert {key: value.number_value for key, value in shown.items()} == {"attention.beta": 5, "seed": 1}


def test_curves_keep_the_steps_that_all_seeds_logged(tmp_path: Path) -> None:
    from attnlab.comparison.comparing import make
    from attnlab.comparison.curves import curves

    written = [write_run(tmp_path, seed=seed, accuracy=0.5 + seed / 10) for seed in range(3)]
    path = written[1] / "metrics.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("40,")), encoding="utf-8")
    (curve,), words = curves(make(load_runs(tmp_path), ACCURACY).rows, ACCURACY)
    assert curve.steps.tolist() == [20, 60, 80, 100] and words == []
    assert curve.mean.tolist() == pytest.approx([0.6 * step / 100 for step in curve.steps])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{}/nowhere"], "there is no folder {}/nowhere"),
        (["{}/empty"], "there is no run in {}/empty"),
        (["{}/runs", "--metric", "val/sequence_acuracy"], "did you mean val/sequence_accuracy"),
        (["{}/runs", "--by", "attention.bta"], "did you mean attention.beta"),
        (["{}/runs", "--by", "lr"], "did you mean optimizer.lr"),
        (["{}/failed"], "the run is not done:\n  reverse/soft/"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, capsys: Any, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "runs")
    write_run(tmp_path / "failed", state="failed", error="OSError: disk")
    filled = [argument.format(tmp_path) for argument in arguments]
    out, err = compare(*filled, "--out", tmp_path / "out", code=2, capsys=capsys)
    assert out == "" and err.startswith("error: ") and "Traceback" not in err
    assert " ".join(message.format(tmp_path).split()) in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_help_imports_neither_torch_nor_what_draws() -> None:
    code = """import runpy, sys
for name in ("torch", "scipy", "matplotlib", "tensorboard"): sys.modules[name] = None
sys.argv = ["scripts/compare.py", "--help"]
runpy.run_path("scripts/compare.py", run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "--metric TAG" in done.stdout and done.stderr == ""
    assert "python scripts/compare.py runs" in done.stdout


def keep_sources(folder: Path, identity: str, data: str, path: str, **code: str) -> None:
    """What a run of task=pairs keeps of its data and code."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    config["task"]["train"] = path
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    kept = {"identity": identity, "data": {"task.train": data}, "code": code}
    (folder / "sources.json").write_text(json.dumps(kept), encoding="utf-8")


def test_runs_are_grouped_by_the_contents_of_their_data(tmp_path: Path) -> None:
    from attnlab.comparison.comparing import make

    for number, (seed, data, path) in enumerate(
        [
            (0, "a" * 64, "x.tsv"),
            (1, "a" * 64, "copy.tsv"),
            (0, "b" * 64, "copy.tsv"),
            (1, "b" * 64, "copy.tsv"),
        ]
    ):
        folder = write_run(tmp_path / str(number), seed=seed)
        keep_sources(folder, f"{number:08x}", data, path, **{"attnlab/a.py": data[:1], "attnlab/b.py": "1"})
    comparison = make(load_runs(tmp_path))
    groups = [
        sorted(run.sources["data"]["task.train"][0] for run in row.group.runs) for row in comparison.rows
    ]
    assert sorted(groups) == [["a", "a"], ["b", "b"]]
    assert not comparison.left_out and len({row.group.label for row in comparison.rows}) == 2
    assert "the code differs between runs: attnlab/a.py" in comparison.warnings


def test_a_run_is_left_out_as_the_same_only_where_its_hash_is_the_same(tmp_path: Path) -> None:
    from attnlab.comparison.comparing import make

    changes = [{}, {"trainer": {"limit_train_batches": 1}}, {"trainer": {"limit_train_batches": 1.0}}]
    for number, changed in enumerate(changes):
        keep_sources(write_run(tmp_path / str(number), changes=changed), f"{number:08x}", "a", "x")
    keep_sources(write_run(tmp_path / "again", end="2026-01-02T00:00:00+00:00"), f"{0:08x}", "a", "x")
    comparison = make(load_runs(tmp_path))
    assert len(comparison.rows) == 3 and len({row.group.label for row in comparison.rows}) == 3
    ((run, _, reason),) = comparison.left_out
    assert run.folder.parents[2].name == "0" and reason.startswith("the same configuration and seed as")
