"""Export the program that the runtime `torch` serves: the whole graph as torch.export writes it, checked."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from build_engines.errors import CheckError
from build_engines.export.parity import BATCHES, PROBABILITY_TOLERANCES
from build_engines.export.preprocessing import ServedBackbone
from build_engines.export.source import source_of
from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import BackboneBuild
from build_engines.support.atomic_files import sha256, write_whole
from build_engines.support.record import Record

EXAMPLE_BATCH = 2


class ProgramRecord(Record):
    """The source of an exported program, and the hash of its file."""

    made_of: str
    program_sha256: str


def make_program(built: BackboneBuild) -> Path:
    """Export the program of a backbone, in FP32, unless it is up to date; return its path.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
        CheckError: the program does not agree with the backbone; it is not kept.
    """
    if not _is_current(built):
        module = source_of(built).torch_module()
        write_whole(built.program, lambda aside: _write(built.name, module, built.pool.canvas, aside))
        record = ProgramRecord(made_of=built.source_fingerprint(), program_sha256=sha256(built.program))
        record.write(built.program_record_file)
    return built.program


def _is_current(built: BackboneBuild) -> bool:
    record = ProgramRecord.read(built.program_record_file)
    if record is None or not built.program.is_file() or sha256(built.program) != record.program_sha256:
        return False
    return record.made_of == built.source_fingerprint()


def _write(name: str, module: ServedBackbone, canvas: int, path: Path) -> None:
    example = torch.zeros(EXAMPLE_BATCH, canvas, canvas, 3, dtype=torch.uint8)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains paths of this machine
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that are views of others: the answers are compared below
        torch.export.save(program, file)
    _check(name, module, path, canvas)


@torch.inference_mode()
def _check(name: str, module: ServedBackbone, path: Path, canvas: int) -> None:
    """Check that the file answers like the module that it was exported from."""
    with path.open("rb") as file:
        written = torch.export.load(file).module()
    images, tolerance = sample_canvases(canvas), PROBABILITY_TOLERANCES["fp32"]
    for batch in BATCHES:
        rows = torch.from_numpy(np.resize(images, (batch, *images.shape[1:])))
        difference = float((written(rows) - module(rows)).abs().max())
        if not difference <= tolerance:  # written so that NaN fails too
            raise CheckError(
                f"backbone {name!r}: the exported PyTorch program differs by {difference:.2g} "
                f"(tolerance {tolerance}) at a batch of {batch}; it was not kept"
            )
