"""Each door of Hydra that has no name of its own, tried: where a version moves one, a sentence says which."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from hydra import compose
from omegaconf import DictConfig

from attnlab.config import doors
from attnlab.config.composing import hydra_at
from attnlab.config.overrides import parse
from attnlab.config.places import CONFIGS, PACKAGE

PRIVATE = re.compile(r"hydra\._internal|\b_apply_overrides|\._value\b|\._return_value\b|compose_config\(")


def through(door: str, step: Callable[[], object]) -> object:
    """What a step gives; a sentence where Hydra has no such door any more."""
    try:
        return step()
    except (ImportError, AttributeError, TypeError) as error:
        pytest.fail(f"Hydra {hydra.__version__} moved what attnlab.config.doors.{door} goes through: {error}")


def test_settings_are_changed_in_a_composed_configuration() -> None:
    with hydra_at(CONFIGS):
        config = compose("train")
        through("apply", lambda: doors.apply(parse(["seed=3", "attention.beta=2"]), config))
    assert isinstance(config, DictConfig) and (config.seed, config.attention.beta) == (3, 2)


def test_a_value_is_read_before_it_is_resolved() -> None:
    (override,) = parse(["seed='a b'"])
    assert str(through("parsed_value", lambda: doors.parsed_value(override)).text) == "a b"  # pyright: ignore


class Launcher:
    """Takes what a launcher of Hydra's is handed."""

    def setup(self, *, hydra_context: object, task_function: Callable[..., object], config: DictConfig):
        self.task = task_function

    def launch(self, jobs: list[list[str]], first: int) -> list[object]:
        from hydra.core.utils import JobReturn, JobStatus

        done, failed = JobReturn(status=JobStatus.COMPLETED), JobReturn(status=JobStatus.FAILED)
        done.return_value, failed.return_value = self.task(jobs[0]), ValueError("no node")
        return [done, failed]


def test_jobs_are_handed_to_a_launcher_and_failures_come_back_as_words() -> None:
    made: list[dict[str, object]] = []

    def make(settings: dict[str, object]) -> Launcher:
        made.append(settings)
        return Launcher()

    with hydra_at(CONFIGS):
        reasons = through("launch", lambda: doors.launch(make, len, ["hydra/launcher=basic"], [["a"], ["b"]]))
    assert reasons == [None, "no node"] and "_target_" in made[0]


def test_nothing_else_goes_through_a_private_door() -> None:
    """Nor does another folder than config/ import Hydra, but for launchers, its plugins, and its errors."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        inside = path.relative_to(PACKAGE)
        if inside != Path("config/doors.py"):
            assert not PRIVATE.search(text), (
                f"{inside} goes through a private door of Hydra; see config/doors.py"
            )
        for node in ast.walk(ast.parse(text)):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if module.partition(".")[0] == "hydra" and inside.parts[0] != "config":
                assert module == "hydra.errors" or inside.parts[:2] == ("runs", "launchers"), inside
