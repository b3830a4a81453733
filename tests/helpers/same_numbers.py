"""The figures of a fixed list of short runs, to hold one checkout against another:

    python tests/helpers/same_numbers.py write before.json CHECKOUT
    python tests/helpers/same_numbers.py check before.json

A change that should move no number leaves metrics.csv, less speed/*, and results.json the same bytes.
"""

import csv
import io
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = (
    "model.hidden_size=12 model.embedding_size=8 model.readout_size=10 batch_size=8 trainer.max_steps=12 "
    "trainer.log_every_n_steps=3"
).split()
MADE = "task.steps_per_epoch=6 task.validation_examples=24 task.test_examples=24".split()
LISTS = {
    "mechanisms": ["attention=glob(*)"],
    "baselines": [
        "attention=hard_reinforce",
        "attention.baseline=none,moving_average,self_critical,soft,learned",
    ],
    "models and tasks": [
        "model=lstm,gru",
        "task=copy,sort,lookup",
        "attention=soft,hard_marginal",
        "model.layers=2",
        "model.dropout=0.2",
    ],
    "scores": ["score=dot,general,additive,cosine", "attention=hard_reinforce,soft"],
    "schedules": [
        "attention=gumbel_rao",
        "attention.beta_schedule=linear,exponential",
        "attention.beta_end=5",
        "attention.beta_steps=9",
        "optimizer.schedule=linear",
    ],
    "rules": ["attention=soft,topk", "attention.evaluate_as=argmax,marginal"],
    "accumulation": ["attention=vimco", "trainer.accumulate_grad_batches=2", "trainer.precision=64-true"],
}
WORDS = ("walk", "talk", "sing", "ring", "bake", "rake", "go", "undergo", "see", "foresee")


def write_pairs(folder: Path) -> list[str]:
    """Files of `pairs` with features, and the settings that read them."""
    lines = [
        f"{word}\t{word[::-1]}{end}\tV;{tag}" for word in WORDS for end, tag in (("ed", "PST"), ("s", "3"))
    ]
    for name, part in (("train", lines[:14]), ("val", lines[14:17]), ("test", lines[17:])):
        (folder / f"{name}.tsv").write_text("\n".join(part) + "\n", encoding="utf-8")
    files = [f"task.{name}={folder / name}.tsv" for name in ("train", "val", "test")]
    return ["task=pairs", "task.features_column=3", *files, "attention=hard_reinforce,soft"]


def train(checkout: Path, runs: Path, settings: list[str]) -> subprocess.Popen[str]:
    """The command, started."""
    command = [sys.executable, "scripts/train.py", *settings, f"runs_dir={runs}"]
    return subprocess.Popen(
        command, cwd=checkout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def finish(started: subprocess.Popen[str]) -> None:
    said, _ = started.communicate()
    if started.returncode:
        sys.exit(f"{' '.join(started.args)} ends with {started.returncode}:\n{said}")  # pyright: ignore


def interrupted(checkout: Path, runs: Path) -> None:
    """A run that is killed once it has a checkpoint, and goes on."""
    settings = [
        "attention=hard_reinforce",
        "attention.baseline=moving_average",
        "model.dropout=0.3",
        *SMALL,
        *MADE,
    ]
    settings += ["checkpoint_every=5", "trainer.max_steps=60"]
    started = train(checkout, runs, settings)
    while started.poll() is None and not list(runs.glob("*/*/*/checkpoints/last.ckpt")):
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    finish(train(checkout, runs, settings))


def figures(run: Path) -> dict[str, str]:
    """metrics.csv less speed/*, and results.json, as they stand on disk."""
    rows = list(csv.reader(io.StringIO((run / "metrics.csv").read_text(encoding="utf-8"))))
    kept = [column for column, tag in enumerate(rows[0]) if not tag.startswith("speed/")]
    metrics = "\n".join(",".join(row[column] for column in kept) for row in rows)
    return {"metrics.csv": metrics, "results.json": (run / "results.json").read_text(encoding="utf-8")}


def everything(checkout: Path) -> dict[str, dict[str, str]]:
    """The figures of every run, by the list it is from, its task, mechanism and what differs."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        lists = {name: [*settings, *MADE] for name, settings in LISTS.items()} | {"pairs": write_pairs(data)}
        for name, settings in lists.items():
            finish(train(checkout, data / "runs" / name, ["-m", *settings, *SMALL]))
        interrupted(checkout, data / "runs" / "resume")
        for results in sorted((data / "runs").glob("*/*/*/*/results.json")):
            run = results.parent
            label = run.name.rpartition("-")[0]  # what differs, less the hash
            found[f"{run.relative_to(data / 'runs').parent}/{label}"] = figures(run)
    return found


def main() -> None:
    """Write the figures of a checkout, or hold this one against what was written."""
    what, file = sys.argv[1], Path(sys.argv[2])
    checkout = Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else ROOT
    now = everything(checkout)
    if what == "write":
        file.write_text(json.dumps(now, indent=1), encoding="utf-8")
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    wrong = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    for name in wrong:
        print("differs:", name, "" if name in before and name in now else "(in one of the two alone)")
    print(f"{len(before)} runs, {len(wrong)} differ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
