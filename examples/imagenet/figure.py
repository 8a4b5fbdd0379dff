"""Draw docs/contact-sheet.png of scikit-image's photographs: `python -m examples.imagenet.figure` after `make demo`."""

from __future__ import annotations

from pathlib import Path

from cascade_client import CascadeClient
from cascade_core.contract import CASCADE, CASCADE_FILE
from cascade_core.spec import read_cascade
from examples.common import served
from examples.imagenet.contact_sheet import write_contact_sheet
from examples.imagenet.photographs import FROM_SCIKIT_IMAGE
from examples.imagenet.pool import REPOSITORY

FIGURE = Path("docs/contact-sheet.png")

if __name__ == "__main__":
    files = [photograph.path for photograph in FROM_SCIKIT_IMAGE]
    with served(REPOSITORY) as url, CascadeClient(url) as client:
        write_contact_sheet(files, client.classify(files), read_cascade(REPOSITORY / CASCADE / CASCADE_FILE), FIGURE)
