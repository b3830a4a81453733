"""Examples of a run: under the table that ends it, and with maps by `evaluate.py RUN --show N`."""

import json
import re
from pathlib import Path

import pytest
import torch
from running import LITTLE, folder_in

import attnlab
from attnlab.cli.characters import drawn
from attnlab.cli.evaluate import evaluate
from attnlab.cli.pages import example
from attnlab.cli.showing import in_characters, page
from attnlab.cli.train import train
from attnlab.runs.examples import Example, told
from attnlab.training.pictures import Map
from attnlab.training.showing import Answer

HEADS = ["model=transformer", "model.heads=2", "model.choose=cross", "model.hidden_size=8"]
COMMAND = [*HEADS, *(word for word in LITTLE if not word.startswith("model.")), "trainer.max_steps=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a Transformer that chooses in two layers of two heads."""
    place = tmp_path_factory.mktemp("made")
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    return folder_in(place)


def files(run: Path) -> dict[str, tuple[int, bytes]]:
    found = [path for path in run.rglob("*") if path.is_file() and path.parent.name != "shown"]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def block(words: dict[str, str]) -> str:
    """An example as it is to be printed, on a terminal wide enough."""
    said = {"prediction": f"{words['prediction']} ({words['verdict']})", "looked at": words["looked_at"]}
    shown = {"source": words["source"], "target": words["target"], **said}
    return "\n".join(f"{name:12} {text}".rstrip() for name, text in shown.items())


def test_a_run_ends_with_an_example_and_shows_it_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = json.loads((run / "status.json").read_text(encoding="utf-8"))["example"]
    capsys.readouterr()
    assert train([*COMMAND, f"runs_dir={run.parents[2]}"], None) == 0
    assert f"\n\n{block(kept)}\n" in capsys.readouterr().out
    asked = attnlab.load(run)
    (best,) = asked.search(asked.read([kept["source"].encode()]), alignments=True)[0]
    assert kept["prediction"].split() == best.symbols and best.weights is not None
    assert kept["looked_at"].split() == [str(1 + int(place)) for place in best.weights.argmax(-1)]
    assert kept["verdict"] == ("right" if kept["prediction"] == kept["target"] else "wrong")
    assert kept["target"].split() == kept["source"].split()[::-1]  # the task


@pytest.mark.parametrize("kept", [None, "words", {"source": "4 5"}, dict.fromkeys(["source", "target"], 4)])
def test_where_no_example_is_kept_none_is_shown(kept: object) -> None:
    assert example(kept) == ""


def test_maps_are_shown_and_only_the_folder_shown_is_written(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run)
    for number in (3, 2):
        capsys.readouterr()
        assert evaluate([str(run), "--show", str(number), "evaluate_as=argmax"], None) == 0
        out = capsys.readouterr().out
        assert f"shown    {run / 'shown' / 'index.html'}" in out
        assert "Attention read at the most probable position" in " ".join(out.split())
        heads = [f"decoder.{layer}.cross, head {head}" for layer in (0, 1) for head in (1, 2)]
        assert re.findall(r"^decoder.*", out, re.MULTILINE) == heads * number
        sites = ("decoder.0.cross", "decoder.1.cross")
        drawings = {f"example-{n}-{site}.png" for n in range(1, number + 1) for site in sites}
        assert {path.name for path in (run / "shown").iterdir()} == {*drawings, "index.html"}
    assert files(run) == before
    html = (run / "shown" / "index.html").read_text(encoding="utf-8")
    assert html.count("<table>") == 8 and "http" not in html


def test_a_folder_that_cannot_be_written_costs_the_files_alone(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    assert evaluate([str(run), "--show=1"], None) == 0
    told = capsys.readouterr()
    assert "decoder.1.cross, head 2" in told.out and "No space left on device" in told.err


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "101"])
def test_a_number_that_cannot_be_is_refused(
    run: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([str(run), f"--show={number}"], None) == 2
    assert "--show must be a number of examples from 1 to 100" in capsys.readouterr().err


WEIGHTS = [[0.0, 0.04, 0.96], [0.05, 0.7, 0.25], [0.3, 0.2, 0.5]]
GOLD = [[False, False, True], [False, True, False], [False, False, False]]
MAP = """
      a  b   c
x     ·  ·  [█]
yes   ░ [▓]  ▒
<eos> ▒  ░   ▓
""".strip("\n")


def test_a_map_in_characters_has_its_target_down_and_its_source_across() -> None:
    found = drawn(WEIGHTS, GOLD, ["a", "b", "c"], ["x", "yes", "<eos>"])
    assert [line.split() for line in found.splitlines()] == [line.split() for line in MAP.splitlines()]
    lines = found.splitlines()
    for column, symbol in enumerate("abc"):
        place = lines[0].index(symbol)
        for row, line in enumerate(lines[1:]):
            shade = "·░▒▓█"[sum(WEIGHTS[row][column] >= bound for bound in (0.05, 0.25, 0.5, 0.75))]
            assert line[place] == shade and (line[place - 1] == "[") == GOLD[row][column]


def test_a_wide_map_goes_on_below() -> None:
    source, target = [str(number) for number in range(60)], ["a", "b"]
    found = drawn([[1 / 60] * 60] * 2, [[False] * 60] * 2, source, target)
    blocks = found.split("\n\n")
    assert len(blocks) > 2 and all(len(line) <= 80 for line in found.splitlines())
    assert " ".join(block.splitlines()[0].strip() for block in blocks).split() == source
    assert found.count("·") == 120


def test_signs_of_two_columns_and_long_and_blank_symbols_keep_their_place() -> None:
    found = drawn(
        [[1.0, 0.0, 0.0, 0.0]], [[True, False, False, False]], ["한", " ", "averylongone", "e\u0301"], ["z"]
    )
    head, row = found.splitlines()
    assert head.split() == ["한", "␣", "averylo…", "e\u0301"]
    cell = 1 + len("averylo…")
    assert row == "z " + "".join(mark.ljust(cell) for mark in ("[█]", " · ", " · ", " · ")).rstrip()
    assert head.index("␣") == len("z ") + cell  # a column left of its mark: one sign before it takes two


def small() -> Example:
    """Symbols that a page must not take for its own signs."""
    source, target = ["<b>", "$x$", "&"], ["x", "مر"]
    seen = Map(torch.tensor([WEIGHTS]), torch.tensor(GOLD), [*target, "<eos>"], source)
    return Example(Answer(source, target, ["x"], [3]), {"attention": seen}, "read as a mixture")


def test_the_page_holds_every_weight_in_its_place() -> None:
    html = page([small()], "runs/x & y")
    assert "<b>" not in html and "<h1>runs/x &amp; y</h1>" in html
    (head,) = re.findall(r"<thead>.*?</thead>", html)
    assert re.findall(r"<bdi>(.*?)</bdi>", head) == ["&lt;b&gt;", "$x$", "&amp;"]
    rows = re.findall(r"<tr>(.*?)</tr>", html[html.index("<tbody>") :])
    for row, weights, gold in zip(rows, WEIGHTS, GOLD, strict=True):
        assert re.findall(r">([\d.]*)</td>", row) == [f"{weight:.2f}" if weight else "" for weight in weights]
        assert ['class="gold"' in cell for cell in re.findall(r"<td.*?>", row)] == gold


def test_words_and_maps_stand_together() -> None:
    found = in_characters([small(), small()])
    assert found.startswith(f"example 1 of 2\n{example(told(small()))}\n\nattention\n")
    words = " ".join(found.split())
    assert "right positions marked" in words and "Attention read as a mixture" in words
