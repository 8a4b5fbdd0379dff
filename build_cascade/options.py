"""The options and arguments that the commands of `build-cascade` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cascade_core.gating import COMBINES, CONFIDENCES
from cascade_core.spec import MAX_STAGES

PoolFile = Annotated[Path, typer.Argument(help="A pool file, such as pools/digits.yaml.")]
Root = Annotated[Path, typer.Option("--build", help="The folder of built files.")]
Url = Annotated[str, typer.Option(envvar="CASCADE_URL", help="host:port of Triton's gRPC service.")]
CascadeFile = Annotated[
    Path | None,
    typer.Option(help="The cascade.json; by default the served one, or the one next to imported predictions."),
]
Accuracy = Annotated[str | None, typer.Option(help="A share such as 0.98, a backbone's name, or `best`.")]
Tolerance = Annotated[float, typer.Option(help="How far below that accuracy the cascade may be, as a share of images.")]
Risk = Annotated[
    float | None, typer.Option(help="Certify the cascade: the probability with which it may exceed the tolerance.")
]
GuaranteeKind = Annotated[
    str | None,
    typer.Option(help="With --risk: `accuracy` (default with labels), or `consistency` with the backbone's answers."),
]
MeanCost = Annotated[
    float | None,
    typer.Option(
        "--mean-cost-at-most", "--cost-at-most", help="The highest mean cost per image, in the unit of the costs."
    ),
]
WorstCost = Annotated[float | None, typer.Option(help="The highest cost of an image that runs every stage.")]
CostsFile = Annotated[
    Path | None,
    typer.Option("--costs", help="JSON of unit (GMACs, ms), source and costs; by default, counted MACs."),
]
Reference = Annotated[str, typer.Option(help="The backbone to compare with; `best` is the most accurate one.")]
Alpha = Annotated[
    float,
    typer.Option(help="How accurate every stage must be on the images that it answers, relative to the reference."),
]
Stages = Annotated[int, typer.Option(min=1, max=MAX_STAGES, help="The most stages.")]
MustInclude = Annotated[
    list[str] | None, typer.Option(help="A backbone that the cascade must include; may be repeated.")
]
AllOrders = Annotated[
    bool, typer.Option("--all-orders", help="Try every order of the stages, not only by ascending cost.")
]
FreeWeights = Annotated[
    bool, typer.Option("--free-weights", help="Search again over a free weight for each stage of the best cascade.")
]
Confidence = Annotated[
    list[str] | None,
    typer.Option(
        help=f"The confidence to gate by: {', '.join(CONFIDENCES)}; the first two by default. May be repeated."
    ),
]
Combine = Annotated[
    list[str] | None,
    typer.Option(help=f"How predictions are combined: {', '.join(COMBINES)}; the first by default. May be repeated."),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        help="The folder for the page; by default build/POOL/report, and for another --cascade one beside it."
    ),
]
ConsistentWith = Annotated[
    str | None,
    typer.Option(
        help="Use no labels: choose by agreement with this backbone's answers. Without labels, the default is the "
        "one that agrees most with the mean of all."
    ),
]
Images = Annotated[
    str | None,
    typer.Option(help="Images, a random half of them to choose on and the rest to report on; instead of the next two."),
]
CalibrationImages = Annotated[
    str | None, typer.Option(help="Images to choose on: a folder, list, tar files or data set.")
]
TestImages = Annotated[str | None, typer.Option(help="Images to report on.")]
MeasuredImages = Annotated[str, typer.Option("--test", help="Images to send, such as a folder; labels are not needed.")]
Labels = Annotated[
    str | None,
    typer.Option(
        help="The images' labels, as a file: path,label, or one per line for all images by name; or `none`, whatever "
        "their folders are called."
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Measure even if what is served was measured before.")]
LimitS = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds for each row until no further round starts; earlier once all intervals are narrow."
    ),
]
