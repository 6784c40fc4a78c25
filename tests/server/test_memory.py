"""The memory of a process that inspects images, each of another size."""

import subprocess
import sys

import pytest

MAX_GROWTH = 64  # MiB: the blocks of CACHED_SIZES sizes, 40 MiB, and freed memory in the threads' arenas

INSPECT = """
import resource
import sys
from io import BytesIO

import numpy as np
from PIL import Image

from ssim_ae import Detector
from ssim_ae.server.inspector import InspectionRequest, Inspector

detector = Detector.load(sys.argv[1], device_target="CPU")
shapes = [(1, 32_768 - i) if i % 2 else (32_768 - i, 1) for i in range(40)]


def png(shape):
    buffer = BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def by_detector():
    for shape in shapes:
        detector.inspect(np.zeros(shape, np.uint8))
        yield


def by_server():
    with Inspector({"only": detector}) as inspector:
        for shape in shapes:
            inspector.submit(png(shape), InspectionRequest("only")).result()
            yield


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


inspected = {"detector": by_detector, "server": by_server}[sys.argv[2]]()
for _ in range(4):
    next(inspected)
before = peak()
assert sum(1 for _ in inspected) == len(shapes) - 4
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss depends on the system")
@pytest.mark.parametrize("way", ["detector", "server"])
def test_images_of_many_sizes_take_bounded_memory(tiny_run, way):
    command = [sys.executable, "-c", INSPECT, str(tiny_run.folder), way]
    growth = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert growth < MAX_GROWTH
