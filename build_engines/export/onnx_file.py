"""A classifier that is an ONNX file: read it, and check that it is what the pool file says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnx.external_data_helper import uses_external_data

from build_engines.errors import WeightsError
from build_engines.pool.schema import OnnxBackbone, Pool

IMAGE_RANK = 4
LOG_ERRORS = 3  # a log level of ONNX Runtime
SUM_TOLERANCE = 1e-4
DYNAMIC_BATCH = (
    "export it with a dynamic batch dimension (PyTorch: dynamic_shapes=({0: torch.export.Dim('batch')},) in "
    "torch.onnx.export; TensorFlow: None as the first dimension of the input signature)"
)

Floats = npt.NDArray[np.float32]


class OnnxFile:
    """A user's ONNX file as it is.

    Attributes:
        model: The file, without the initializers among its inputs.
        input: Name of its input, FP32 [B, 3, H, W] or [B, H, W, 3].
        output: Name of its output, FP32 [B, C].

    Raises:
        WeightsError: it is missing, is not an ONNX file, or is not an image classifier of the layout and size that the
            pool file says, with a dynamic batch dimension.
    """

    def __init__(self, pool: Pool, backbone: OnnxBackbone) -> None:
        self._backbone, self._path = backbone, pool.weights_file(backbone)
        self.model = self._read()
        self.input = self._only("input", self.model.graph.input).name
        self.output = self._only("output", self.model.graph.output).name
        self._check_dimensions(_dimensions(self.model.graph.input[0]))

    def session(self) -> onnxruntime.InferenceSession:
        """Return a session of the file.

        Raises:
            WeightsError: ONNX Runtime cannot load it.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = LOG_ERRORS  # old files list their weights as inputs, and it warns about each
        try:
            return onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise self.error(f"cannot be loaded by ONNX Runtime: {error}") from error

    def run(self, session: onnxruntime.InferenceSession, images: Floats) -> Floats:
        """Return the file's answers, FP32 [B, C], for images in its layout.

        Raises:
            WeightsError: it does not take them, or its answers have another shape.
        """
        try:
            (answers,) = session.run([self.output], {self.input: images})
        except Exception as error:  # as above
            raise self.error(
                f"does not run on {list(images.shape)}: {error}; if the batch is the reason, {DYNAMIC_BATCH}"
            ) from error
        wanted = (len(images), self._backbone.classes)
        if answers.shape != wanted:
            raise self.error(
                f"returns {list(answers.shape)}, expected {list(wanted)}: {_advice(answers.shape, wanted)}"
            )
        return np.asarray(answers)

    def check_answers(self, answers: Floats) -> None:
        """Check that answers are logits or probabilities, whichever the pool file says.

        Raises:
            WeightsError: they are not, or are not numbers.
        """
        if np.isnan(answers).any():
            raise self.error(
                "answers NaN to photographs; check that the file is intact, and `mean`, `std`, `value_range`"
            )
        within = bool(np.all((answers >= -SUM_TOLERANCE) & (answers <= 1 + SUM_TOLERANCE)))
        sums = answers.sum(axis=1)
        are_probabilities = within and bool(np.all(np.abs(sums - 1) <= SUM_TOLERANCE))
        declared = self._backbone.output
        if declared == "probabilities" and not are_probabilities:
            raise self.error(
                f"is declared to return probabilities, but returns {answers.min():.3g} to {answers.max():.3g}, with "
                f"sums of {sums.min():.3g} to {sums.max():.3g} per image; write `output: logits`"
            )
        if declared == "logits" and are_probabilities and self._backbone.classes > 1:
            raise self.error("is declared to return logits, but returns probabilities; write `output: probabilities`")

    def error(self, what: str) -> WeightsError:
        """Return an error about this file."""
        return WeightsError(f"backbone {self._backbone.name!r}: {self._path} {what}")

    def _read(self) -> ModelProto:
        if not self._path.is_file():
            raise self.error("does not exist; put the file there or correct `onnx`")
        try:
            model = onnx.load(self._path, load_external_data=False)
        except Exception as error:  # protobuf's own
            raise self.error(f"is not an ONNX file ({error})") from error
        if not model.graph.node:
            raise self.error("is not an ONNX file, or is empty")
        outside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
        if outside:
            raise self.error(
                f"stores {len(outside)} of its weights in other files; merge them into one file: "
                f"python -c \"import onnx; onnx.save(onnx.load('{self._path.name}'), 'whole.onnx')\""
            )
        _drop_initialized_inputs(model)
        return model

    def _only(self, what: str, values: Sequence[ValueInfoProto]) -> ValueInfoProto:
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise self.error(
                f"has {len(values)} {what}s ({names}), expected one; extract it with onnx.utils.extract_model(path, "
                "new_path, [the image], [the answers])"
            )
        kind = values[0].type.tensor_type.elem_type
        if kind != TensorProto.FLOAT:
            raise self.error(
                f"has the {what} {values[0].name} of type {TensorProto.DataType.Name(kind)}, expected FLOAT"
            )
        return values[0]

    def _check_dimensions(self, found: list[int]) -> None:
        """Check the input's dimensions as far as they are known; 0 is dynamic, and an empty list unknown."""
        if not found:
            return
        side, layout = self._backbone.input_size, self._backbone.layout
        if len(found) != IMAGE_RANK:
            raise self.error(f"takes {found}, not a batch of images with three channels")
        if found[0]:
            raise self.error(f"takes a batch of {found[0]} only; {DYNAMIC_BATCH}")
        shapes = {"NCHW": [0, 3, side, side], "NHWC": [0, side, side, 3]}
        if not _fits(found, shapes.pop(layout)):
            ((other, shape),) = shapes.items()
            advice = f"write `layout: {other}`" if _fits(found, shape) else "correct `input_size` or `layout`"
            raise self.error(f"takes {found} (0 is dynamic), not {layout} of {side} pixels; {advice}")


def _advice(found: tuple[int, ...], wanted: tuple[int, int]) -> str:
    if len(found) == len(wanted) and found[0] == wanted[0]:
        background = "; if one of them is a background, name it in `drop_class`" * (found[1] == wanted[1] + 1)
        return f"set `classes`, and the labels, to the number of classes that it has{background}"
    return f"it must return one row per image; if its batch is fixed inside, {DYNAMIC_BATCH}"


def _fits(found: list[int], wanted: list[int]) -> bool:
    return all(size in (0, other) for size, other in zip(found, wanted, strict=True))


def _dimensions(value: ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def _drop_initialized_inputs(model: ModelProto) -> None:
    """Remove the weights from the inputs, where old files list them too."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialized]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
