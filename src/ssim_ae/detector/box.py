"""The box around a defect. The server and its client use it, too."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """The bounding box of a defect, in pixels of the image."""

    x: Annotated[int, Field(description="Left edge.", examples=[118])]
    y: Annotated[int, Field(description="Top edge.", examples=[342])]
    width: Annotated[int, Field(description="Width, at least 1.", examples=[56])]
    height: Annotated[int, Field(description="Height, at least 1.", examples=[31])]
    score: Annotated[float, Field(description="Maximum of the anomaly map in the defect.", examples=[2.61])]
