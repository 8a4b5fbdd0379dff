"""Known errors of TensorRT and Triton in a server's log.

Triton's own line is often only a wrapper; TensorRT's line, which gives the reason, comes before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from build_engines.doctor.finding import Finding

REBUILD = "build the plans in the image that serves them: make engines, then build-engines repository"
ON_THIS_GPU = "build the plans on the GPU that serves them: make engines, then build-engines repository"
KNOWN = (
    (r"Version tag does not match.*Current Version: \d+, Serialized Engine Version: \d+", "other TensorRT", REBUILD),
    (
        r"not compatible with this version of TensorRT, expecting library version \S+ got [^\s,]+",
        "other TensorRT",
        REBUILD,
    ),
    (r"incompatible device, expecting compute \S+ got compute [^\s,]+", "other GPU", ON_THIS_GPU),
    (
        r"Cannot deserialize engine with lean runtime",
        "version-compatible plan",
        "start Triton with --backend-config=tensorrt,version-compatible=true, for plans that you trust",
    ),
    (r"CUDA initialization failure with error: \d+", "no GPU", "start the container with --gpus all"),
    (
        r"(?:operation not permitted when stream is capturing|previous error during capture"
        r"|depend on a capturing blocking stream)",
        "plans loaded in parallel",
        "start Triton with --model-load-thread-count=1, as deploy/serve does: CUDA graphs are captured one at a time",
    ),
    (
        r"unable to find backend library for backend '(?:tensorrt|onnxruntime)'",
        "other server",
        "serve this repository in NVIDIA's container, or write it with --runtime embedded",
    ),
    (
        r"(?:unable to initialize|failed to (?:increase|initialize)).* shared memory .*",
        "shared memory too small",
        "start the container with a larger --shm-size, such as 1g",
    ),
    (
        r"unable to (?:load plan file to auto complete config|create TensorRT engine).*",
        "plan not loaded",
        "TensorRT gives the reason in the lines before; compare with the entries above",
    ),
)


def inspect_log(lines: Iterable[str]) -> list[Finding]:
    """Return the known errors in a log, each once, in order of appearance."""
    findings: dict[str, Finding] = {}
    for line in lines:
        for pattern, what, advice in KNOWN:
            if (match := re.search(pattern, line, re.IGNORECASE)) is not None:
                findings.setdefault(what, Finding(f"log: {what}", match[0].strip(), advice))
    return list(findings.values()) or [Finding("log", "no known error")]
