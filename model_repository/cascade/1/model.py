"""What Triton loads: the served cascade, by the packages beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # an installed cascade_serving may be of another version

from cascade_serving.triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
