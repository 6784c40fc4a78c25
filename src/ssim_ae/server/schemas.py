"""The JSON schemas of the HTTP API, shared by server and client."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ssim_ae.detector.box import Box
from ssim_ae.pages.detectability import Detectability

MAX_BATCH = 64  # images in one request
PictureName = Literal["image", "mask", "heatmap", "inspected", "reconstruction", "levels", "regions"]
Verdict = Literal["ok", "nok"]
Sides = tuple[int, int]  # height and width


def _described(description: str, *examples: object) -> object:
    return Field(description=description, examples=list(examples))


class Problem(BaseModel):
    """The reason why a request failed."""

    detail: Annotated[str, _described("The reason, in one line.", "image: not an image, or corrupt")]


class AccessInfo(BaseModel):
    """Who uses the server, and what they may do."""

    name: Annotated[str, _described("Name of the token; empty if the server has no tokens.", "ana")]
    role: Annotated[str, _described("`inspect`, `review` or `administer`.", "review")]


class Timing(BaseModel):
    """The duration of an inspection, in milliseconds."""

    waited: Annotated[float, _described("Time until a worker was free.", 0.2)]
    inspected: Annotated[float, _described("Time for decoding, inspection and drawing of the pictures.", 14.8)]


class InspectionResponse(BaseModel):
    """The result of inspecting one image."""

    detector: Annotated[str, _described("Name of the detector that inspected the image.", "bottle-1")]
    name: Annotated[str, _described("File name of the image; empty if the request has none.", "017.png")]
    verdict: Annotated[Verdict, _described("`nok` if the score is above the threshold, else `ok`.", "nok")]
    score: Annotated[float, _described("Maximum of the anomaly map.", 2.61)]
    threshold: Annotated[float, _described("Threshold of the score: 1 / sensitivity, as float32.", 1.0)]
    width: Annotated[int, _described("Width of the image, in pixels.", 900)]
    height: Annotated[int, _described("Height of the image, in pixels.", 900)]
    defect_share: Annotated[float, _described("Share of the image's pixels that are defective.", 0.0124)]
    defects: Annotated[list[Box], Field(description="Connected defective regions, highest score first.")]
    milliseconds: Timing
    pictures: Annotated[
        dict[str, str], _described("Requested pictures by name, those that the method has: PNG files in base64.", {})
    ]


class Failure(BaseModel):
    """An image that could not be inspected."""

    name: Annotated[str, _described("File name of the image; empty if the request has none.", "018.png")]
    error: Annotated[str, _described("The reason, in one line.", "018.png: an empty file")]


class WatchedImage(BaseModel):
    """An inspected image of the watched folder."""

    number: Annotated[int, _described("Identifies the image; increases with each inspected image.", 1767225600001)]
    result: Annotated[
        InspectionResponse | Failure, Field(description="Result of the inspection, or the reason why it failed.")
    ]


class DetectorInfo(BaseModel):
    """The description of a detector of the server."""

    name: Annotated[str, _described("Name of the detector, for the query parameter `detector`.", "bottle-1")]
    runtime: Annotated[str, _described("Runtime of the network.", "OnnxRuntime")]
    thresholds: Annotated[
        dict[str, float],
        _described(
            "Thresholds of the residuals. The anomaly map is relative to them.",
            {"ssim": 0.41, "l1": 0.16},
        ),
    ]
    dataset: Annotated[str, _described("Data set that the detector was trained on.", "bottle")]
    working_size: Annotated[Sides, _described("Height and width that images are resized to, in pixels.", (128, 320))]
    size: Annotated[
        Sides, _described("Height and width of the view, the middle of a resized image, in pixels.", (128, 320))
    ]
    channels: Annotated[int, _described("Color channels: 1 for gray, 3 for color.", 3)]
    min_area: Annotated[int, _described("Area of the smallest region that is a defect, in pixels of the view.", 1)]
    detectability: Annotated[
        Detectability | None, Field(description="Share of drawn defects that the detector finds; null if not measured.")
    ] = None
