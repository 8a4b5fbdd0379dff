"""TensorRT's module with autospecced objects in place of those that need its library."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from unittest.mock import create_autospec


def autospecced(trt: ModuleType) -> SimpleNamespace:
    """The module's real enums and logger; its real classes' attributes, and no others."""

    def instance(name, **returns):
        made = create_autospec(getattr(trt, name), instance=True, spec_set=True)
        for method, value in returns.items():
            getattr(made, method).return_value = value
        return made

    timings = instance("ITimingCache", serialize=b"timings")
    config = instance("IBuilderConfig", create_timing_cache=timings, get_timing_cache=timings)
    image = instance("ITensor")
    image.name, image.shape = "image", trt.Dims([-1, 32, 32, 3])
    network = instance("INetworkDefinition", get_input=image)
    builder = instance(
        "Builder",
        create_network=network,
        create_builder_config=config,
        create_optimization_profile=instance("IOptimizationProfile"),
        build_serialized_network=b"plan",
    )
    parser = instance("OnnxParser", parse_from_file=True)
    fakes = {"Builder": lambda _: builder, "OnnxParser": lambda *_: parser}
    return SimpleNamespace(**(vars(trt) | fakes))
