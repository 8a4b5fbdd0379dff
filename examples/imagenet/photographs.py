"""The photographs in the wheels of scikit-image and scikit-learn: their files, and whom to credit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from build_engines.errors import ImageSourceError

INSTALL = "pip install '.[demo]' (make demo does)"


@dataclass(frozen=True)
class Photograph:
    """A photograph that a Python package ships.

    Attributes:
        package: The import name of the package.
        file: Its path below the package's folder.
        credit: The photographer or source, and the licence as the package states it.
    """

    package: str
    file: str
    credit: str

    @property
    def path(self) -> Path:
        """Return where the file is installed.

        Raises:
            ImageSourceError: the package is not installed, or a version of it that has no such file.
        """
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ImageSourceError(f"{self.package} is not installed, whose photographs are classified: {INSTALL}")
        path = Path(spec.origin).parent / self.file
        if not path.is_file():
            raise ImageSourceError(f"this version of {self.package} has no {self.file}: {INSTALL}")
        return path


COFFEE = Photograph("skimage", "data/coffee.png", "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0")
FROM_SCIKIT_IMAGE = (
    Photograph("skimage", "data/astronaut.png", "NASA, public domain"),
    Photograph("skimage", "data/camera.png", "Lav Varshney, CC0"),
    Photograph("skimage", "data/chelsea.png", "Stéfan van der Walt, CC0"),
    Photograph("skimage", "data/clock_motion.png", "Stéfan van der Walt, public domain"),
    COFFEE,
    Photograph("skimage", "data/coins.png", "Brooklyn Museum, no known copyright restrictions"),
    Photograph("skimage", "data/motorcycle_left.png", "Middlebury 2014 stereo benchmark, Scharstein et al."),
    Photograph("skimage", "data/rocket.jpg", "SpaceX, public domain"),
)
PHOTOGRAPHS = (
    *FROM_SCIKIT_IMAGE,
    Photograph("sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0"),
    Photograph("sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0"),
)
