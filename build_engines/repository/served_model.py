"""A client of one served model over gRPC: canvases in, an output out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup
from tritonclient.utils import InferenceServerException

from build_engines.errors import ServedError
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.entry import MADE_FROM, SHA256
from build_engines.repository.runtimes.torch import PRECISION
from cascade_core.contract import IMAGE, PROBABILITIES, TensorSpec

TIMEOUT_S = 120.0
SERVE_BACKBONES = "is it served? (make serve, or serve-repository --backbones-only)"
WEIGHTS = (".onnx", ".plan", ".pt2")


class ServedModel:
    """One model of a Triton server.

    Raises:
        ServedError: from every method, when the server does not answer, or the model fails or is not the expected one.
    """

    def __init__(self, url: str, name: str, advice: str = SERVE_BACKBONES) -> None:
        self.name = name
        self._advice = advice
        self._url = url
        self._triton = InferenceServerClient(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._triton.close()

    @property
    def config(self) -> Any:  # noqa: ANN401 (protobuf's classes have no stubs)
        """The model's Triton configuration, a ModelConfig message."""
        with self._errors():
            return self._triton.get_model_config(self.name, client_timeout=TIMEOUT_S).config

    def config_made_from(self, onnx_sha256: str) -> Any:  # noqa: ANN401
        """Return the configuration of a backbone, which must be made from the ONNX file with this SHA-256."""
        config = self.config
        if config.parameters[MADE_FROM].string_value != onnx_sha256:
            raise ServedError(
                f"the server's {self.name!r} was not made from the last export; "
                "run build-engines repository and restart the server"
            )
        return config

    def infer(self, canvases: Canvas, output: TensorSpec = PROBABILITIES) -> npt.NDArray[Any]:
        """Send canvases, UINT8 [n, S, S, 3], and return one output, [n, ...]."""
        tensor = InferInput(IMAGE.name, list(canvases.shape), IMAGE.datatype)
        tensor.set_data_from_numpy(np.ascontiguousarray(canvases))
        with self._errors():
            wanted = [InferRequestedOutput(output.name)]
            response = self._triton.infer(self.name, [tensor], outputs=wanted, client_timeout=TIMEOUT_S)
        answer: npt.NDArray[Any] = response.as_numpy(output.name)
        if len(answer) != len(canvases):
            raise ServedError(
                f"model {self.name!r} answered {len(answer)} of {len(canvases)} images; install numpy<2 in the server"
            )
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            raise ServedError(f"model {self.name!r} at {self._url}: {error.message()}; {self._advice}") from error


def served_configs(build: PoolBuild, url: str) -> dict[str, Any]:
    """Return Triton's configuration of every backbone, each made from its last export.

    Raises:
        ServedError: a backbone is not served, or was not made from the last export.
        BuildError: a backbone has no up-to-date ONNX file.
    """
    configs = {}
    for built in build:
        manifest = built.require_manifest()
        with ServedModel(url, built.name) as served:
            configs[built.name] = served.config_made_from(manifest.onnx_sha256)
    return configs


def runtime_of(config: Any) -> str:  # noqa: ANN401 (protobuf's classes have no stubs)
    """Describe what answers, from the configuration of a served backbone: `python (model.pt2, fp16, GPU)`."""
    devices = sorted(
        {ModelInstanceGroup.Kind.Name(group.kind).removeprefix("KIND_") for group in config.instance_group}
    )
    on_gpu = "GPU" in devices  # on a CPU the runtime `torch` computes in FP32, whatever was requested
    precision = [config.parameters[PRECISION].string_value] if on_gpu and PRECISION in config.parameters else []
    return f"{config.backend} ({', '.join([*weights_of(config), *precision, *devices])})"


def matches_runtime(config: Any, runtime: str) -> bool:  # noqa: ANN401
    """Whether `runtime_of` named this backend and file; precision and device are known only once an entry is served."""
    return runtime.startswith(f"{config.backend} ({', '.join([*weights_of(config), ''])}")


def weights_of(config: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the SHA-256 of the file that a served backbone runs, by the file's name."""
    hashes = {name.removesuffix(SHA256): value.string_value for name, value in config.parameters.items()}
    return {name: sha256 for name, sha256 in sorted(hashes.items()) if name.endswith(WEIGHTS)}
