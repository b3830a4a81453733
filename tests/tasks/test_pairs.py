"""A person's own files: what is read, what is refused, and that epochs, seeds and resuming do what they
promise."""

import inspect
import json
import logging
import pickle
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from attnlab.tasks.batch import BOS, EOS, PAD, UNK, Batch
from attnlab.tasks.pairs import POOL, Pairs, epoch_plan, pairs
from attnlab.tasks.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture
def make(tmp_path: Path):
    """Writes the three files (val and test like train unless given) and builds the task."""

    def build(
        train: str | bytes, val: str | bytes | None = None, test: str | bytes | None = None, **settings
    ) -> Pairs:
        paths = {}
        for name, content in {"train": train, "val": val or train, "test": test or train}.items():
            path = tmp_path / f"{name}.tsv"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths[name] = str(path)
        chosen = {"source_separator": " ", "target_separator": " ", "features_column": None} | settings
        seed, batch_size = chosen.pop("seed", 0), chosen.pop("batch_size", 2)
        return pairs(seed, batch_size, **paths, **chosen)

    return build


def shown(task: Pairs, batches) -> list[tuple[list[str], list[str]]]:
    """Rows of batches as strings; padding is left out."""
    rows = []
    for batch in batches:
        for source, target in zip(batch.source.tolist(), batch.target.tolist(), strict=True):
            symbols = [task.source_vocabulary[symbol] for symbol in source if symbol != PAD]
            rows.append((symbols, [task.target_vocabulary[symbol] for symbol in target if symbol != PAD]))
    return rows


def epoch(task: Pairs, number: int = 0) -> list[Batch]:
    return [task.train(number * task.steps_per_epoch + index) for index in range(task.steps_per_epoch)]


def numbered(rows: int) -> str:
    """Row i begins with the digits of i, so that it is known again, and goes on for a while, so that lengths
    vary."""
    return "".join(f"{' '.join(str(i))}{' x' * (i % 7)}\ty{' z' * (i % 5)}\n" for i in range(rows))


def names(batch: Batch) -> list[tuple[int, ...]]:
    return [tuple(symbol for symbol in row if symbol != PAD) for row in batch.source.tolist()]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_symbols_are_what_stands_between_separators(make):
    task = make("th i ng\tTH IH NG\nth e\tDH AH\n")
    assert task.source_vocabulary == ("<pad>", "<bos>", "<eos>", "<unk>", "e", "i", "ng", "th")
    assert task.target_vocabulary == ("<pad>", "<bos>", "<eos>", "<unk>", "AH", "DH", "IH", "NG", "TH")
    assert (task.source_symbols, task.target_symbols, task.longest_target) == (8, 9, 4)
    batch = next(task.validation())  # shortest first
    assert batch.source.tolist() == [[7, 4, PAD], [7, 5, 6]]
    assert batch.target.tolist() == [[5, 4, EOS, PAD], [8, 6, 7, EOS]]
    assert batch.gold.shape == (2, 1, 3) and not batch.gold.any()


def test_an_empty_separator_splits_into_characters_and_keeps_spaces_within_words(make):
    task = make("res publica\trei pūblicae\n", source_separator="", target_separator="")
    (row,) = shown(task, task.test())
    assert row == (list("res publica"), [*"rei pūblicae", "<eos>"])


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("مكتبة", "مكتبات"),  # right to left, in logical order
        ("क्षत्रिय", "क्षत्रियों"),  # vowel signs and viramas are code points of their own
        ("図書館", "としょかん"),
        ("e\u0301te\u0301", "été"),  # decomposed and composed forms stay different
        ("a\u2028b\x0b\x85", "\u00a0\u3000x"),  # line ends only to other programs; spaces only to others
        ("🧑🏽‍🚀", "𐎀"),  # beyond the 16-bit characters
    ],
)
def test_text_of_every_script_comes_back_as_it_was(make, source: str, target: str):
    task = make(f"{source}\t{target}\n", source_separator="", target_separator="")
    (row,) = shown(task, task.validation())
    assert "".join(row[0]) == source and "".join(row[1][:-1]) == target
    assert len(row[0]) == len(source)


def test_composed_and_decomposed_letters_are_different_symbols(make):
    composed, decomposed = "\u00e9", unicodedata.normalize("NFD", "\u00e9")
    task = make(f"{composed}\tx\n", f"{decomposed}\tx\n", source_separator="")
    assert next(task.validation()).source.tolist() == [[UNK, UNK]]


def test_features_are_symbols_of_their_own_even_where_letters_look_the_same(make):
    task = make("V\tVs\tV;PST\nN\tNs\tN\n", source_separator="", target_separator="", features_column=3)
    assert task.source_vocabulary[4:] == ("[N]", "[PST]", "[V]", "N", "V")
    rows = {tuple(row) for batch in task.validation() for row in batch.source.tolist()}
    assert rows == {(6, 5, 8), (4, 7, PAD)}


@pytest.mark.parametrize(
    ("column", "line"), [(1, "V;PST\tgo\twent"), (2, "go\tV;PST\twent"), (3, "go\twent\tV;PST")]
)
def test_features_may_stand_in_any_column(make, column: int, line: str):
    task = make(line, source_separator="", target_separator="", features_column=column)
    assert shown(task, task.test()) == [(["[V]", "[PST]", "g", "o"], ["w", "e", "n", "t", "<eos>"])]


def test_a_row_may_have_no_features(make):
    task = make("go\tgo\t\ngo\twent\tPST\n", source_separator="", target_separator="", features_column=3)
    assert [source for source, _ in shown(task, task.test())] == [["g", "o"], ["[PST]", "g", "o"]]


def test_the_vocabulary_is_that_of_training_whatever_the_order_of_its_lines(make):
    task = make("b a\tq p\nc\tr\n", "d\ts\n", "e\tt\n")
    again = make("c\tr\nb a\tq p\n", "f\tu\n", "g\tv\n")
    assert task.source_vocabulary[4:] == again.source_vocabulary[4:] == ("a", "b", "c")
    assert task.target_vocabulary[4:] == again.target_vocabulary[4:] == ("p", "q", "r")


def test_unknown_symbols_become_unk_on_both_sides_and_training_holds_none(make):
    task = make("a b\tp q\tV\n", "a z\tp y q\tN\n", features_column=3)
    (batch,) = task.validation()
    assert batch.source.tolist() == [[UNK, 5, UNK]]
    # kept in place, so that the reference does not get easier
    assert batch.target.tolist() == [[4, UNK, 5, EOS]]
    batches = epoch(task)
    assert batches
    for training in batches:
        for side in (training.source, training.target):
            assert not torch.isin(side, torch.tensor([UNK, BOS])).any()


def test_symbols_spelled_like_the_special_ones_are_ordinary(make):
    task = make("<unk> <pad>\t<eos> <bos>\n")
    (batch,) = task.validation()
    assert batch.source.tolist() == [[5, 4]] and batch.target.tolist() == [[5, 4, EOS]]


@pytest.mark.parametrize("separator", [" ", ""])
def test_byte_order_marks_windows_line_ends_and_a_missing_last_line_end_change_nothing(make, separator: str):
    lines = "a b\tp q\n", "c d\tr s\n"
    settings = {"source_separator": separator, "target_separator": separator}
    plain = make("".join(lines), **settings)
    for other in (
        "".join(lines).rstrip(),
        "\ufeff" + "".join(lines),
        "".join(lines).replace("\n", "\r\n") + "\r\n\n",
        "\n\r\n" + "".join(lines),
    ):
        task = make(other, **settings)
        assert (
            task.source_vocabulary == plain.source_vocabulary
            and task.target_vocabulary == plain.target_vocabulary
        )
        assert shown(task, task.validation()) == shown(plain, plain.validation())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a", "expected 2 columns (source, target), got 1: 'a'"),
        ("", "expected 2 columns (source, target), got an empty line between others"),
        ("a\tb\0", "expected no NUL, as UTF-16 has (the file must be UTF-8), got one in 'a\\tb\\x00'"),
        ("a\tb\r\r", "expected no carriage return within a line, got one in 'a\\tb\\r'"),
        ("\ufeffa\tb", "expected a byte order mark only before the first line, got '\\ufeffa\\tb'"),
        (
            "a\tb\tV;PST",
            "expected 2 columns (source, target), got 3: 'a\\tb\\tV;PST'; task.features_column=3",
        ),
        ("\tb", "expected at least one symbol of source, got an empty column"),
        ("a\t", "expected at least one symbol of target, got an empty column"),
        (
            "a  b\tc",
            "one separator ' ' between two symbols of source, none at the ends; got an empty symbol "
            "in 'a  b'",
        ),
        (
            "a\tb ",
            "one separator ' ' between two symbols of target, none at the ends; got an empty symbol in 'b '",
        ),
        (b"a\tcaf\xe9", "expected UTF-8, got the byte 0xe9 at position 6 of b'a\\tcaf\\xe9'"),
        ("a\t" + "b" * 500 + "\t\t", "got 4: 'a\\t" + "b" * 58 + "'..."),
    ],
)
def test_a_malformed_line_is_named_with_what_was_expected_and_what_came(make, line: str | bytes, said: str):
    line = line.encode() if isinstance(line, str) else line
    with pytest.raises(ValueError) as error:
        make("a\tb\n", b"a\tb\n" + line + b"\na\tb\n")
    assert "val.tsv, line 2: " in str(error.value) and said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a\tb", "expected 3 columns (source, target, features), got 2: 'a\\tb'; task.features_column=null"),
        (
            "a\tb\tV;;PST",
            "one separator ';' between two symbols of features, none at the ends; got an empty symbol",
        ),
    ],
)
def test_malformed_features_are_refused(make, line: str, said: str):
    with pytest.raises(ValueError) as error:
        make(line, features_column=3)
    assert "train.tsv, line 1: " in str(error.value) and said in str(error.value)


def test_the_first_five_malformed_lines_are_quoted_and_the_others_counted(make):
    with pytest.raises(ValueError) as error:
        make("a\tb\n" + "".join(f"wrong{i}\n" for i in range(7)))
    *quoted, last = str(error.value).splitlines()
    assert [line.split(": ")[0][-6:] for line in quoted] == [f"line {number}" for number in range(2, 7)]
    assert last == "and 2 more malformed lines of 8"


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(make, content: bytes):
    with pytest.raises(ValueError, match=r"train\.tsv: expected at least one line .* got an empty file"):
        make(content)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path):
    settings = {"source_separator": " ", "target_separator": " ", "features_column": None}
    for path, said in (tmp_path / "absent.tsv", "No such file"), (tmp_path, "Is a directory"):
        with pytest.raises(ValueError, match=said) as error:
            pairs(0, 2, train=str(path), val=str(path), test=str(path), **settings)
        assert str(error.value).startswith(f"{path}: expected a file")


@pytest.mark.parametrize(
    ("rows", "batch_size"), [(1, 3), (2, 3), (3, 3), (307, 1), (307, 3), (706, 7), (5, 11)]
)
def test_an_epoch_is_every_row_once_with_at_most_one_short_batch(make, rows: int, batch_size: int):
    task = make(numbered(rows), batch_size=batch_size)
    assert task.steps_per_epoch == -(-rows // batch_size)
    everything = Counter(name for batch in task.validation() for name in names(batch))
    assert len(everything) == rows
    for number in range(2):
        batches = epoch(task, number)
        assert Counter(name for batch in batches for name in names(batch)) == everything
        sizes = sorted(len(batch.source) for batch in batches)
        assert sizes[1:] == [batch_size] * (len(batches) - 1) and sizes[0] == rows - batch_size * (
            len(batches) - 1
        )


def test_a_step_is_a_function_of_seed_and_step_alone(make):
    first, second = make(numbered(53), batch_size=5), make(numbered(53), batch_size=5)
    steps = range(4 * first.steps_per_epoch)
    in_order = [first.train(step) for step in steps]
    backwards = [second.train(step) for step in reversed(steps)][::-1]
    assert all(same(a, b) for a, b in zip(in_order, backwards, strict=True))


def test_a_task_can_be_sent_to_another_process_at_the_size_of_its_data(make):
    task = make(numbered(500), batch_size=5)
    task.train(0)
    sent = pickle.dumps(task)
    # three times 500 rows of at most 9 + 6 symbols of 8 bytes, and the references of two; tensors that share
    # storage are sent whole
    assert len(sent) < 300_000
    assert same(pickle.loads(sent).train(17), task.train(17))


def test_epochs_and_seeds_have_orders_of_their_own(make):
    task, other = make(numbered(53), batch_size=5), make(numbered(53), batch_size=5, seed=1)
    orders = [
        tuple(names(batch)[0] for batch in epoch(*which)) for which in [(task, 0), (task, 1), (other, 0)]
    ]
    assert len(set(orders)) == 3


def test_no_row_is_always_left_in_the_short_batch(make):
    task = make(numbered(11), batch_size=5)
    alone = [
        names(batch)[0] for number in range(60) for batch in epoch(task, number) if len(batch.source) == 1
    ]
    assert len(alone) == 60 and len(set(alone)) > 5


def test_validation_and_test_know_neither_seed_nor_batch_size(make):
    files = numbered(41), numbered(602), numbered(401)
    task, other = make(*files), make(*files, seed=7, batch_size=13)
    for exam, examples in ("validation", 602), ("test", 401):
        batches = list(getattr(task, exam)())
        for again in (getattr(task, exam)(), getattr(other, exam)()):
            assert all(same(a, b) for a, b in zip(batches, again, strict=True))
        rows = [name for batch in batches for name in names(batch)]
        assert len(rows) == len(set(rows)) == examples
        assert [len(name) for name in rows] == sorted(len(name) for name in rows)


def test_batches_hold_rows_of_similar_size_but_not_always_the_same_rows():
    batch_size, generator = 5, torch.Generator().manual_seed(0)
    sizes = torch.randint(100, (3 * POOL * batch_size,), generator=generator)
    spread = [sizes[rows].max() - sizes[rows].min() for rows in epoch_plan(sizes, batch_size, generator)]
    assert len(spread) == 3 * POOL
    # a pool has five rows of every size; a random batch spans 67
    assert torch.stack(spread).double().mean() < 2
    plans = [epoch_plan(sizes, batch_size, generator) for _ in range(2)]
    together = [{frozenset(rows) for rows in plan} for plan in plans]
    assert len(together[0] & together[1]) < POOL // 10


@pytest.mark.parametrize("side", ["source", "target"])
def test_words_that_were_meant_to_be_split_are_noticed(make, caplog, side: str):
    def line(word: str, number: int) -> str:
        return f"{word}\t{number}\tV;PST\n" if side == "source" else f"{number}\t{word}\tV;PST\n"

    known = line("walk", 1) + line("talk", 2)
    task = make(known, known + line("balk", 1), features_column=3)
    (unsplit,) = [note for note in task.notes if "train.tsv" in note]
    assert f"no {side} holds the separator ' '" in unsplit and f"task.{side}_separator=''" in unsplit
    unknown = next(note for note in task.notes if "val.tsv" in note)
    assert f"1 of 3 lines hold symbols that training never saw: 1 x 'balk' ({side})" in unknown
    assert task.counts["val/unknown_examples"] == 1 and task.counts["test/unknown_examples"] == 0
    # what is said is said before training, too
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == task.notes
    task = make(known, line("balk", 1) + line("falk", 2) + line("talk", 1), features_column=3)
    assert "2 of 3 lines hold symbols" in task.notes[1] and task.notes[1].endswith(
        f"; do task.{side}_separator fit?"
    )


def test_lines_of_another_unicode_form_are_counted_and_the_form_is_named(make):
    composed = "été\tE T E\nami\tA M I\nbal\tB A L\n"
    decomposed = unicodedata.normalize("NFD", composed)
    for train, other, form in (composed, decomposed, "NFC"), (decomposed, composed, "NFD"):
        task = make(train, other, source_separator="")
        assert task.counts["val/unknown_examples"] == 1
        assert "1 of 3 lines hold symbols" in task.notes[0] and f"Unicode's form {form}" in task.notes[0]
    assert "2 x '\u0301' (source, U+0301)" in make(composed, decomposed, source_separator="").notes[0]
    same = make(composed, composed, source_separator="")
    assert same.notes == [] and same.counts["test/unknown_examples"] == 0


def test_a_kept_vocabulary_stands_for_the_training_file(make, tmp_path: Path):
    task = make("a b\tp q r\tV\nc\ts\tN\n", "a z\tp\tV\n", features_column=3)
    files = {name: str(tmp_path / f"{name}.tsv") for name in ("train", "val", "test")}
    settings = {"source_separator": " ", "target_separator": " ", "features_column": 3}
    kept = json.loads(json.dumps(task.vocabulary))
    for change in (b"x y z\tq\tW\n", None):  # another file, or none
        Path(files["train"]).unlink() if change is None else Path(files["train"]).write_bytes(change)
        again = pairs(0, 2, kept, **files, **settings)
        assert again.source_vocabulary == task.source_vocabulary
        assert again.target_vocabulary == task.target_vocabulary
        assert again.longest_target == task.longest_target == 4
        assert all(same(a, b) for a, b in zip(again.validation(), task.validation(), strict=True))
        assert again.counts == task.counts


@pytest.mark.parametrize(
    "change",
    [
        {"source": ["a", "a"]},
        {"target": [1]},
        {"features": "ab"},
        {"longest_target": 0},
        {"longest_target": "9"},
    ],
)
def test_a_damaged_vocabulary_is_refused(make, change):
    kept = {**make("a b\tp q\tV\n", features_column=3).vocabulary, **change}
    with pytest.raises(ValueError, match="a run must hold features, source, target"):
        Vocabulary(kept)


def test_the_limit_of_decoding_covers_the_longest_target_of_every_file(make):
    long = f"a\t{' '.join('p' * 20)}\n"
    assert make("a\tp\n", "a\tp p\n", long).longest_target == 21
    assert make(long, "a\tp p\n", "a\tp\n").longest_target == 21


def test_the_ceiling_is_what_the_best_output_for_each_source_gets_right(make):
    exam = "a\tp\na\tq\na\tq\nb\tp\nb\tp\nz\tp\nc\tp z\n"  # z in a target can never be given
    task = make("a\tp q\nb\tp\nc\tq\n", exam)
    assert task.counts["val/accuracy_ceiling"] == (2 + 2 + 1) / 7
    assert "sources with more than one target: 1." in task.notes[1] and "0.7143" in task.notes[1]


@pytest.mark.parametrize("separator", ["\t", "a\tb", "\n"])
def test_a_separator_that_ends_columns_is_refused(make, separator: str):
    with pytest.raises(ValueError, match="task.target_separator must hold no tab"):
        make("a\tb\n", target_separator=separator)


def test_blanks_at_the_ends_of_characters_are_said(make):
    notes = make("walk \twalked\n", source_separator="", target_separator="").notes
    assert len(notes) == 1 and "train.tsv: 1 sources begin or end with a blank" in notes[0]


def test_the_yaml_builds_the_task_once_the_files_are_named(tmp_path: Path):
    config = OmegaConf.load(ROOT / "configs" / "task" / "pairs.yaml")
    assert {key for key in config if OmegaConf.is_missing(config, key)} == {"train", "val", "test"}
    keywords = {name for name, p in inspect.signature(pairs).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert {str(key) for key in config} == keywords | {"_target_"}
    (tmp_path / "data.tsv").write_text("a b\tp q\n")
    task = instantiate(config, 0, 1, **dict.fromkeys(("train", "val", "test"), str(tmp_path / "data.tsv")))
    assert shown(task, task.test()) == [(["a", "b"], ["p", "q", "<eos>"])]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not here (../shared/data)")
@pytest.mark.parametrize(
    ("folder", "parts", "separator", "column"),
    [
        ("g2p", ("nettalk.train", "nettalk.dev", "nettalk.test"), " ", None),
        ("inflection", ("latin.train.high", "latin.dev", "latin.test"), "", 3),
    ],
)
def test_real_data_is_read_whole_and_padded_little(
    folder: str, parts: tuple[str, ...], separator: str, column
):
    paths = [DATA / folder / f"{part}.tsv" for part in parts]
    settings = {"source_separator": separator, "target_separator": separator, "features_column": column}
    files = dict(zip(("train", "val", "test"), map(str, paths), strict=True))
    task = pairs(0, 20, **files, **settings)
    lines = [
        [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line] for path in paths
    ]
    expected = Counter(tuple(f"[{f}]" for f in line[2].split(";")) if column else () for line in lines[0])
    batches = epoch(task)
    rows = shown(task, batches)
    words = Counter(
        (separator.join(s for s in source if len(s) == 1), separator.join(t[:-1])) for source, t in rows
    )
    assert words == Counter((line[0], line[1]) for line in lines[0])
    assert Counter(tuple(s for s in source if len(s) > 1) for source, _ in rows) == expected
    assert [sum(len(b.source) for b in exam) for exam in (task.validation(), task.test())] == list(
        map(len, lines[1:])
    )
    padding = sum(int((side == PAD).sum()) for batch in batches for side in batch[:2])
    # 27 and 40 % in random batches
    assert padding < 0.05 * sum(side.numel() for batch in batches for side in batch[:2])
