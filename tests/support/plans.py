"""Plans as far as files go: a TensorRT and a GPU by name, and ONNX files of any bytes."""

from __future__ import annotations

import json
from types import SimpleNamespace

from build_engines.plans.record import Device, PlanOptions
from build_engines.pool.manifest import GraphAgreement, PreprocessingAgreement
from build_engines.support.atomic_files import sha256

DEVICE = Device(gpu="NVIDIA L4", compute_capability="8.9", driver="580.95")
OPTIONS = PlanOptions(batch=(1, 8, 8))
TRT = SimpleNamespace(__version__="10.13.3.9")


def export_bytes(built, content):
    """An ONNX file and its manifest, as far as files go."""
    built.onnx.parent.mkdir(parents=True, exist_ok=True)
    built.onnx.write_bytes(content)
    graph, preprocessing = (
        dict.fromkeys(checks.model_fields, 1) for checks in (GraphAgreement, PreprocessingAgreement)
    )
    made = {"made_of": "", "gmacs": 1, "onnx_sha256": sha256(built.onnx)}
    built.manifest_file.write_text(json.dumps(made | {"graph": graph, "preprocessing": preprocessing}))
