"""Build a plan with TensorRT's Python API: one code path for 10.x and 11.x.

The network is strongly typed: precision is in the graph. No enum is written as a number, for numbers differ between the
majors.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from build_engines.errors import PlanError
from build_engines.plans.record import PlanOptions

MAJORS = ("10", "11")
MODULES = ("tensorrt", "tensorrt_bindings")  # the second is what the bindings' own wheel is called


def load_tensorrt() -> Any:  # noqa: ANN401 (a module without stubs)
    """Return TensorRT's Python module.

    Raises:
        PlanError: it is missing or of an unknown major.
    """
    reasons = []
    for name in MODULES:
        try:
            trt = importlib.import_module(name)
        except (ImportError, OSError) as error:
            reasons.append(str(error))
            continue
        version = str(getattr(trt, "__version__", "of unknown version"))
        if version.partition(".")[0] not in MAJORS:
            raise PlanError(f"TensorRT {version} is not supported; use 10.x or 11.x")
        return trt
    raise PlanError(
        f"TensorRT's Python package cannot be imported ({'; '.join(reasons)}); run make engines, which builds in "
        "NVIDIA's container, or see the commands that --trtexec prints"
    )


def build_plan(trt: Any, onnx: Path, options: PlanOptions, cache: bytes) -> tuple[bytes, bytes]:  # noqa: ANN401
    """Build a plan of an ONNX file.

    Args:
        trt: TensorRT's Python module.
        onnx: The file.
        options: Build options.
        cache: The timing cache of an earlier build; empty at first.

    Returns:
        The plan, and the timing cache to keep.

    Raises:
        PlanError: TensorRT cannot; the message includes its own errors.
    """
    logger = _recorder(trt)
    builder = _builder(trt, logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        errors = [str(parser.get_error(place)) for place in range(parser.num_errors)]
        raise PlanError(f"TensorRT {trt.__version__} cannot parse {onnx}: {'; '.join(errors)}")
    config = _config(trt, builder, network, options)
    timings = config.create_timing_cache(cache)
    if timings is None:  # the file is damaged
        timings = config.create_timing_cache(b"")
    config.set_timing_cache(timings, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise PlanError(
            f"TensorRT {trt.__version__} built no plan of {onnx}: {'; '.join(logger.errors) or 'it gives no reason'}; "
            "if memory is short, lower max_batch_size in the pool file or --workspace-mib"
        )
    return bytes(plan), bytes(config.get_timing_cache().serialize())


def _builder(trt: Any, logger: Any) -> Any:  # noqa: ANN401
    try:
        return trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # how the bindings report a library that does not start
        raise PlanError(
            f"TensorRT {trt.__version__} does not start: {'; '.join(logger.errors) or error}; "
            "check that its library has the same version and that the driver is new enough for it"
        ) from error


def _config(trt: Any, builder: Any, network: Any, options: PlanOptions) -> Any:  # noqa: ANN401
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatibility != "none":
        config.hardware_compatibility_level = _level(trt, options.hardware_compatibility)
    image = network.get_input(0)
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, *(trt.Dims([batch, *image.shape[1:]]) for batch in options.batch))
    config.add_optimization_profile(profile)
    return config


def _level(trt: Any, name: str) -> Any:  # noqa: ANN401
    level = getattr(trt.HardwareCompatibilityLevel, name.upper(), None)
    if level is None:
        raise PlanError(f"TensorRT {trt.__version__} has no hardware compatibility {name}; leave the option out")
    return level


def _recorder(trt: Any) -> Any:  # noqa: ANN401
    """Return a logger for TensorRT that collects errors."""

    class Recorder(trt.ILogger):  # type: ignore[misc]
        """A logger that collects errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            """Collect the message if it is an error."""
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)

    return Recorder()
