"""What the server answers, as its clients read it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

MAX_BATCH = 64  # images in one request
Picture = Literal["mask", "heatmap", "inspected", "reconstruction", "levels"]
Verdict = Literal["ok", "nok"]


def _says(description: str, *examples: object) -> object:
    return Field(description=description, examples=list(examples))


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: Annotated[str, _says("The reason, in one line.", "image: not an image, or damaged")]


class Box(BaseModel):
    """The box around a defective region, in px of the image."""

    x: Annotated[int, _says("The left edge.", 118)]
    y: Annotated[int, _says("The upper edge.", 342)]
    width: Annotated[int, _says("At least 1.", 56)]
    height: Annotated[int, _says("At least 1.", 31)]
    score: Annotated[float, _says("The highest value of the anomaly map there.", 2.61)]


class Milliseconds(BaseModel):
    """How long it took."""

    waited: Annotated[float, _says("Until a worker was free.", 0.2)]
    inspected: Annotated[float, _says("Decoding, inspecting and drawing the pictures.", 14.8)]


class InspectionResponse(BaseModel):
    """What was found in one image."""

    detector: Annotated[str, _says("The detector that inspected it.", "bottle-1")]
    name: Annotated[str, _says("The file's name, if one was given.", "017.png")]
    verdict: Annotated[Verdict, _says("nok if the score is above the limit.", "nok")]
    score: Annotated[float, _says("The highest value of the anomaly map.", 2.61)]
    limit: Annotated[float, _says("1 / sensitivity, as float32.", 1.0)]
    width: Annotated[int, _says("Of the image, px.", 900)]
    height: Annotated[int, _says("Of the image, px.", 900)]
    defect_share: Annotated[float, _says("The share of the image's px that is defective.", 0.0124)]
    defects: Annotated[list[Box], Field(description="The connected defective regions, the worst first.")]
    milliseconds: Milliseconds
    pictures: Annotated[dict[str, str], _says("The pictures asked for: PNG files in base64, by name.", {})]


class Failure(BaseModel):
    """An image that could not be inspected."""

    name: Annotated[str, _says("The file's name, if one was given.", "018.png")]
    error: Annotated[str, _says("The reason, in one line.", "018.png: an empty file")]


class WatchedImage(BaseModel):
    """An image that came into the watched folder."""

    number: Annotated[int, _says("Rises with every image that comes in.", 1767225600001)]
    result: Annotated[
        InspectionResponse | Failure, Field(description="What was found in it, or why it could not be inspected.")
    ]


class DetectorInfo(BaseModel):
    """A detector that can be asked."""

    name: Annotated[str, _says("What a request calls it.", "bottle-1")]
    runtime: Annotated[str, _says("What runs its network.", "OnnxRuntime")]
    thresholds: Annotated[
        dict[str, float],
        _says("Residuals above which a pixel is defective; the score is relative to them.", {"ssim": 0.41, "l1": 0.16}),
    ]
    dataset: Annotated[str, _says("What it was trained on.", "bottle")]
    size: Annotated[int, _says("Height and width of what it inspects of an image, resized, px.", 256)]
    channels: Annotated[int, _says("1: gray, 3: colour.", 3)]
    min_area: Annotated[int, _says("Px of what it inspects below which a region is no defect.", 1)]
