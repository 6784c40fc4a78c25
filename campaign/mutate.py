"""Mutations of valid files: of their bytes and of their JSON values."""

from typing import Any

import numpy as np

SPECIAL_BYTES = [0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x3C, 0x7B]
SPECIAL_NUMBERS = [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
HOSTILE_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 10**30, -(10**30), 1e-300, 1e300, float("nan"), float("inf"), -0.5),
    *("", "x", "nan", "../../x", "/etc/passwd", "s3://a/b", "<script>alert(1)</script>", "\x00", "\ud800", "=1+1"),
    *([], [[]], {}, {"a": 1}, [1e400], "9" * 5000, ["x"] * 1000),
]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with one to eight mutations, half of them in the first 256 bytes, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        length = len(changed)
        if not length:
            break
        position = int(rng.integers(min(length, 256) if rng.random() < 0.5 else length))
        size = int(rng.integers(1, 64))
        match rng.integers(8):
            case 0:
                changed[position] ^= 1 << int(rng.integers(8))
            case 1:
                changed[position] = rng.choice(SPECIAL_BYTES)
            case 2:
                width = int(rng.choice([2, 4]))
                number = int(rng.choice(SPECIAL_NUMBERS)) % 256**width
                changed[position : position + width] = number.to_bytes(width, "big" if rng.random() < 0.5 else "little")
            case 3:
                del changed[position : position + size]
            case 4:
                changed[position:position] = changed[position : position + size]
            case 5:
                changed[position:position] = rng.bytes(size)
            case 6:
                elsewhere = int(rng.integers(length))
                changed[position : position + size] = changed[elsewhere : elsewhere + size]
            case 7:
                del changed[position:]
    return bytes(changed)


def mutated_json(value: Any, rng: np.random.Generator) -> Any:
    """Return a copy of a JSON value with one to three of its nested values replaced, added or removed."""
    for _ in range(rng.integers(1, 4)):
        value = _mutated_once(value, rng)
    return value


def _mutated_once(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.1:
            return {**value, str(_hostile(rng)): _hostile(rng)}
        return {**value, key: _mutated_once(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = int(rng.integers(len(value)))
        return [*value[:index], _mutated_once(value[index], rng), *value[index + 1 :]]
    return _hostile(rng)


def _hostile(rng: np.random.Generator) -> Any:
    return HOSTILE_VALUES[int(rng.integers(len(HOSTILE_VALUES)))]
