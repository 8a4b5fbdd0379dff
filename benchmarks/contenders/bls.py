"""What the contenders inside Triton's Python backend share."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils

from contenders.gate import Gate
from contenders.workload import Images, Probabilities


def images_of(request: pb_utils.InferenceRequest) -> Images:
    """Return a request's images."""
    images: Images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
    return images


def ask(stage: str, images: Images) -> Probabilities:
    """Ask a stage's model about images, and wait."""
    request = pb_utils.InferenceRequest(
        model_name=stage,
        requested_output_names=["probabilities"],
        inputs=[pb_utils.Tensor("image", images)],
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    answer = request.exec()
    if answer.has_error():
        raise pb_utils.TritonModelException(answer.error().message())
    probabilities: Probabilities = pb_utils.get_output_tensor_by_name(answer, "probabilities").as_numpy()
    return probabilities


def response(gate: Gate, rows: slice) -> pb_utils.InferenceResponse:
    """Return the response for some images."""
    columns = {"class_id": gate.class_id[rows][:, None], "exit_stage": gate.exit_stage[rows][:, None]}
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, column) for name, column in columns.items()])


def send(request: pb_utils.InferenceRequest, answer: pb_utils.InferenceResponse) -> None:
    """Send the one response to a request."""
    request.get_response_sender().send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
