"""Height and width of an image, in pixels."""

from collections.abc import Sequence
from typing import NamedTuple, Self


class Size(NamedTuple):
    """Height and width, px. As text: width x height, as in messages."""

    height: int
    width: int

    @classmethod
    def of(cls, value: int | Sequence[int]) -> Self:
        """Return the size that a file states: the side of a square, or height and width."""
        return cls(value, value) if isinstance(value, int) else cls(*value)

    def in_file(self) -> int | list[int]:
        """Return the size as files state it: the side of a square, or height and width."""
        return self.height if self.height == self.width else list(self)

    def __str__(self) -> str:
        return f"{self.width} x {self.height} px"
