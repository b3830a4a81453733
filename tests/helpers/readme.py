"""The commands of README.md and docs/, what they print and draw.

`python tests/helpers/readme.py [PAGE ...]` runs them and writes output, tables and pictures anew.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TABLE = re.compile(r"(<!-- microscope -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks(kind: str, page: Path) -> list[str]:
    """The contents of every fenced block of a kind; "" for those without one."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for word, block in found if word == kind]


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Command and output, one by one."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.strip("\n")


def prepare(folder: Path, page: Path) -> None:
    """A folder to type a page's commands in, with the files that the page writes out."""
    (folder / "scripts").symlink_to(ROOT / "scripts")
    for block in blocks("python", page) + blocks("yaml", page):
        name = re.match(r"# (\S+)\n", block)
        if name:
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(block, encoding="utf-8")


def run(command: str, folder: Path) -> str:
    """What a command prints; an error where it fails or complains."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or "Warning" in done.stderr:
        raise AssertionError(f"{command}\n{done.stdout}\n{done.stderr}")
    printed = done.stdout.replace(f"{ROOT}/", "")  # of commands to paste: a reader stands in the root
    return re.sub(r"[ \t]+$", "", printed, flags=re.MULTILINE).strip("\n")


def typed(page: Path, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Every command of a page, in order, as a reader would type it: the command, what the page shows, what it
    prints today."""
    prepare(folder, page)
    for block in blocks("console", page):
        for command, output in steps(block):
            yield command, output, run(command, folder)


def draw(folder: Path) -> None:
    """The README's pictures, out of the folder in which its commands were typed."""
    from board import photograph

    from attnlab.tour.overview import overview

    (ROOT / "docs" / "overview.png").write_bytes(overview())
    (beta,) = folder.glob("comparison/*/beta.png")
    shutil.copy(beta, ROOT / "docs" / "beta.png")
    photograph(folder / "runs" / "reverse" / "soft", ROOT / "docs" / "tensorboard.png")


def main() -> None:
    """Write every output, the table and the pictures."""
    from attnlab.microscope import survey

    for page in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as name:
            made = {command: output for command, _, output in typed(page, Path(name))}
            for block in blocks("console", page):
                new = "\n\n".join(f"$ {command}\n{made[command]}" for command, _ in steps(block)) + "\n"
                text = text.replace(f"```console\n{block}```", f"```console\n{new}```")
            if page == README:
                draw(Path(name))
        if TABLE.search(text):
            table = survey.markdown(survey.jobs(), 100_000)
            text = TABLE.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
