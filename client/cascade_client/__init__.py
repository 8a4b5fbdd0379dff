"""Ask a cascade served on Triton: which class, how sure, and which stage answered.

from cascade_client import CascadeClient

with CascadeClient("127.0.0.1:8001") as client:
for result in client.classify(["cat.jpg", "dog.png"]):
print(result.label, result.confidence, result.exit_stage)
"""

from cascade_client.canvas import ImageLike, UnusableImage, to_canvas
from cascade_client.client import CascadeClient, Status
from cascade_client.errors import (
    CascadeError,
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    ModelNotFound,
    ServerError,
    ServerUnavailable,
)
from cascade_client.results import Classification

__all__ = [
    "CascadeClient",
    "CascadeError",
    "Classification",
    "DeadlineExceeded",
    "ImageLike",
    "InvalidImage",
    "InvalidRequest",
    "ModelNotFound",
    "ServerError",
    "ServerUnavailable",
    "Status",
    "UnusableImage",
    "to_canvas",
]
