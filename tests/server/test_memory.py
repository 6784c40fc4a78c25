"""The memory of a process that inspects images, each of another size."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

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


ONE_IMAGE = """
import re
import sys
from pathlib import Path
from typing import get_args

from ssim_ae import Detector
from ssim_ae.server.inspector import InspectionRequest, Inspector
from ssim_ae.server.schemas import PictureName

pictures = get_args(PictureName) if sys.argv[2] == "all" else ()
detector = Detector.load(sys.argv[1], device_target="CPU")
small, large = sys.argv[3:]


def memory(kind):
    return 1024 * int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])


with Inspector({"only": detector}, threads=1) as inspector:
    for image in (small, large):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = memory("VmRSS")
        inspector.submit(Path(image), InspectionRequest("only", pictures=pictures)).result()
print(memory("VmHWM") - before)
"""


AFTER_LARGE_IMAGE = """
import re
import sys
from pathlib import Path

from ssim_ae import Detector

detector = Detector.load(sys.argv[1], device_target="CPU", threads=2)
small, large = map(Path, sys.argv[2:])


def memory():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def inspect(paths):
    for _ in detector.map_inspections(paths, lambda path, inspection: inspection.score):
        pass


inspect([small] * 4)
before = memory()
inspect([small, large, small, small])
print(memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory")
def test_the_memory_of_a_large_image_is_returned(tiny_run, tmp_path):
    for name, side in (("small", 50), ("large", 8200)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f"{name}.png", compress_level=1)
    paths = [str(tmp_path / name) for name in ("small.png", "large.png")]
    assert measure(AFTER_LARGE_IMAGE, tiny_run, *paths) < MAX_GROWTH


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss depends on the system")
@pytest.mark.parametrize("way", ["detector", "server"])
def test_images_of_many_sizes_take_bounded_memory(tiny_run, way):
    assert measure(INSPECT, tiny_run, way) < MAX_GROWTH


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss depends on the system")
@pytest.mark.parametrize(
    ("channels", "dtype", "pictures", "bound"), [(3, "uint8", "none", 20), (1, "uint16", "all", 60)]
)
def test_an_inspection_takes_the_bytes_per_pixel_that_security_md_states(
    tiny_run, tmp_path, channels, dtype, pictures, bound
):
    paths = []
    for side in (50, 4000):
        paths.append(tmp_path / f"{side}.png")
        pixels = np.zeros((side, side, channels), dtype)
        Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(paths[-1], compress_level=1)
    assert measure(ONE_IMAGE, tiny_run, pictures, *map(str, paths)) / 4000**2 < bound


def measure(program, run, *arguments):
    command = [sys.executable, "-c", program, str(run.folder), *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
