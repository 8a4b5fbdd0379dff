"""Benchmark a served cascade and its backbones with NVIDIA's perf_analyzer, on labelled images."""

from cascade_client.bench.measure import measure
from cascade_client.bench.plan import Plan
from cascade_client.bench.result import Result

__all__ = ["Plan", "Result", "measure"]
