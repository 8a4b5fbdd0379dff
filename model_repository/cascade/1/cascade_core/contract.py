"""The contract on the wire: entries, tensors and request parameters of a served cascade and of its backbones.

It is written once: the served models, the workbench and the server's checks import this file. The client, which stands
alone, has a copy of it, which a test holds equal. The standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Entries of the model repository
CASCADE = "cascade"
ENCODED_SUFFIX = "_encoded"
CASCADE_ENCODED = CASCADE + ENCODED_SUFFIX  # the ensemble of DECODE and CASCADE
DECODE = "decode"
ENTRIES = frozenset({CASCADE, CASCADE_ENCODED, DECODE})  # no backbone can have one of these names
ALONE_SUFFIX = "_alone"  # of a backbone's cascade of one stage, served to compare speeds like with like
CASCADE_FILE = "cascade.json"  # in the entry CASCADE

# Request parameters
OPERATING_POINT = "operating_point"
MAX_STAGE = "max_stage"

VARIABLE = -1  # an extent that Triton does not check


@dataclass(frozen=True)
class TensorSpec:
    """A tensor on the wire; its first axis, the batch, is left out, as in Triton's configuration of a batching model.

    Attributes:
        name: Its name.
        datatype: Its data type as requests name it, such as UINT8 or BYTES.
        axes: Extents of its axes; or which number of the cascade the extent is: `canvas`, `classes` or `stages`.
    """

    name: str
    datatype: str
    axes: tuple[int | str, ...] = (1,)

    def dims(self, **extents: int) -> list[int]:
        """Return the extents of its axes, VARIABLE for each that is not given."""
        return [axis if isinstance(axis, int) else extents.get(axis, VARIABLE) for axis in self.axes]

    def config(self, **extents: int) -> dict[str, Any]:
        """Return the tensor as Triton's configuration describes it."""
        config_type = "TYPE_STRING" if self.datatype == "BYTES" else f"TYPE_{self.datatype}"
        return {"name": self.name, "data_type": config_type, "dims": self.dims(**extents)}


# A backbone takes IMAGE and answers PROBABILITIES.
IMAGE = TensorSpec("image", "UINT8", ("canvas", "canvas", 3))
PROBABILITIES = TensorSpec("probabilities", "FP32", ("classes",))

# The cascade takes IMAGE and answers all of OUTPUTS; DECODE takes ENCODED and answers IMAGE.
ENCODED = TensorSpec("encoded", "BYTES")
CLASS_ID = TensorSpec("class_id", "INT32")
CONFIDENCE = TensorSpec("confidence", "FP32")
DEGRADED = TensorSpec("degraded", "BOOL")
EXIT_STAGE = TensorSpec("exit_stage", "INT32")
LABEL = TensorSpec("label", "BYTES")
STAGE_CONFIDENCE = TensorSpec("stage_confidence", "FP32", ("stages",))
OUTPUTS = (CLASS_ID, CONFIDENCE, DEGRADED, EXIT_STAGE, LABEL, PROBABILITIES, STAGE_CONFIDENCE)

# What is served, as JSON, in the row of the first image of a request for it alone, which runs no stage. Beside other
# outputs it is empty: Triton names all outputs where a client names none.
DESCRIPTION = TensorSpec("description", "BYTES")
