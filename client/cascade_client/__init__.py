"""Classify images with a cascade served on Triton: the class, its confidence, and the stage that answered.

```python
from cascade_client import CascadeClient

with CascadeClient("127.0.0.1:8001") as client:
    for answer in client.classify(["cat.jpg", "dog.png"]):
        print(answer.label, answer.confidence, answer.exit_stage)
```
"""

from cascade_client.canvas import ImageLike, UnusableImage, to_canvas
from cascade_client.client import CascadeClient, Status
from cascade_client.description import Description, StageDescription
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
    "Description",
    "ImageLike",
    "InvalidImage",
    "InvalidRequest",
    "ModelNotFound",
    "ServerError",
    "ServerUnavailable",
    "StageDescription",
    "Status",
    "UnusableImage",
    "to_canvas",
]
