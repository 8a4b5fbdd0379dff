"""The command that builds the same plan with NVIDIA's trtexec; one line for TensorRT 10 and 11."""

from __future__ import annotations

import shlex
from pathlib import Path

from build_engines.plans.record import PlanOptions

SHAPES = ("min", "opt", "max")
LEVELS = {"ampere_plus": "ampere+", "same_compute_capability": "sameComputeCapability"}


def trtexec_command(onnx: Path, plan: Path, canvas: int, options: PlanOptions) -> str:
    """Return the command."""
    shapes = [
        f"--{name}Shapes=image:{batch}x{canvas}x{canvas}x3" for name, batch in zip(SHAPES, options.batch, strict=True)
    ]
    words = ["trtexec", f"--onnx={onnx}", "--stronglyTyped", *shapes]
    words += [f"--memPoolSize=workspace:{options.workspace_mib}"]
    words += [] if options.tf32 else ["--noTF32"]
    words += ["--versionCompatible"] if options.version_compatible else []
    if options.hardware_compatibility in LEVELS:
        words.append(f"--hardwareCompatibilityLevel={LEVELS[options.hardware_compatibility]}")
    words += [f"--timingCacheFile={plan.parent / 'timing.cache'}", f"--saveEngine={plan}"]
    return shlex.join(words)
