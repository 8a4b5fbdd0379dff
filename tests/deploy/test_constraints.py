"""constraints.txt pins every package that pyproject.toml names, within its range, and leaves torch's builds free."""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FREE = {"torch", "torchvision"}
NOT_INSTALLED = {"benchmarks"}  # the contenders', in an environment that a benchmark's user makes


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements(folder: Path) -> Iterator[Requirement]:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in NOT_INSTALLED}
    for lines in (project["dependencies"], *extras.values()):
        yield from map(Requirement, lines)


@pytest.mark.parametrize("folder", [".", "client"])
def test_every_requirement_is_pinned_within_its_range(folder):
    for requirement in requirements(ROOT / folder):
        name = canonicalize_name(requirement.name)
        if name in FREE:
            assert name not in pins()
            continue
        assert name in pins(), f"{requirement} is not pinned: run make constraints"
        assert pins()[name] in requirement.specifier, f"{requirement} is pinned to {pins()[name]}: run make constraints"


def test_what_comes_with_torchs_builds_is_left_out():
    script = runpy.run_path(str(ROOT / "deploy" / "constraints.py"))
    builds = ("torch", "torchvision", "triton", "nvidia-cublas", "nvidia-nccl-cu13", "cuda-bindings", "setuptools")
    kept = ("nvidia-pytriton", "tritonclient", "timm")
    text = script["constraints"](dict.fromkeys((*builds, *kept), "1.0"))
    assert [line for line in text.splitlines() if not line.startswith("#")] == sorted(f"{name}==1.0" for name in kept)
