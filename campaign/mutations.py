"""100,000 mutated files: each gives a verdict or an error message of one line, and leaves no file behind."""

import json
import os
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from campaign.child import WRITE_FLAGS, do_nothing, run_function, start_process
from campaign.mutate import mutated, mutated_json
from campaign.products import Products
from campaign.row import Row
from ssim_ae import Config, Detector, InputError
from ssim_ae.checked_files import EMPTY_CHECKSUM, METADATA_KEY, with_checksum, write_tensors
from ssim_ae.detector.detector_file import header, json_beside, network_of, read_detector
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import decode_image
from ssim_ae.network.onnx_network import model_bytes, network_model
from ssim_ae.training.checkpoints import read_checkpoint
from ssim_ae.training.history import HISTORY_NAME, read_history

GUARANTEE = (
    "A verdict or an error message of one line, within 5 s; no file is written elsewhere, no program is started."
)
TIMEOUT = 5.0  # s, for each attempt
START_TIMEOUT = 30.0  # s more, for a process to start
ATTEMPTS_PER_PROCESS = 500
MAX_MESSAGE_LENGTH = 2000  # characters
FORBIDDEN_EVENTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect"}
WEIGHT_FACTORS = np.array([0, -1, 1e10, 1e38, np.inf, np.nan], np.float32)
Attempt = Callable[[np.random.Generator], None]


class Kind(NamedTuple):
    """A kind of input: its share of all attempts, the seed and the function of an attempt.

    Each process calls `prepare` before its first attempt.
    """

    name: str
    share: float
    seed: int
    attempt: Attempt
    prepare: Callable[[], None] = do_nothing


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Try `times` thousand mutated inputs of all kinds together."""
    folder.mkdir()
    for kind in kinds(products, folder):
        yield run(kind, int(1000 * times * kind.share), folder)


def kinds(products: Products, folder: Path) -> list[Kind]:
    """Return all kinds of input."""
    file = read_detector(products.detector)
    onnx, openvino = folder / "model.onnx", folder / "model.xml"
    _export(products.detector, onnx, ExportOptions())
    _export(products.detector, openvino, ExportOptions("openvino", "network", "fp32"))
    features, distances = read_detector(products.features), folder / "distances.xml"
    _export(products.features, distances, ExportOptions("openvino", "network", "fp32"))
    yaml = file.config.to_yaml().encode()
    checkpoint = (products.run / "checkpoint.safetensors").read_bytes()
    history = (products.run / HISTORY_NAME).read_bytes()
    detector_files = {"detector.safetensors": products.detector.read_bytes()}
    onnx_files = {"model.onnx": onnx.read_bytes()}
    openvino_files = {"model.xml": openvino.read_bytes(), "model.bin": openvino.with_suffix(".bin").read_bytes()}
    return [
        Kind("images of all formats", 0.41, 22, image_attempt(products.detector)),
        Kind("detector files", 0.07, 14, file_attempt("detector.safetensors", detector_files)),
        Kind("headers of detector files with a valid checksum", 0.1, 60, header_attempt(file, write_safetensors)),
        Kind("ONNX files", 0.05, 10, file_attempt("model.onnx", onnx_files)),
        Kind("headers of ONNX files with a valid checksum", 0.05, 24, header_attempt(file, write_onnx)),
        Kind("OpenVINO files", 0.02, 14, file_attempt("model.xml", openvino_files)),
        Kind("graphs of OpenVINO files with a valid checksum", 0.03, 58, openvino_graph_attempt(openvino)),
        Kind(
            "headers of detectors of features with a valid checksum",
            0.03,
            62,
            header_attempt(features, write_safetensors),
        ),
        Kind("graphs of their OpenVINO files with a valid checksum", 0.01, 64, openvino_graph_attempt(distances)),
        Kind("configs", 0.14, 7, lambda rng: read_config(mutated(yaml, rng))),
        Kind("checkpoints", 0.03, 11, lambda rng: resume(mutated(checkpoint, rng), file.config)),
        Kind("histories (CSV)", 0.06, 15, lambda rng: read_table(mutated(history, rng))),
        *mindir_kinds(products, folder),
    ]


def mindir_kinds(products: Products, folder: Path) -> list[Kind]:
    """Return the kinds of MINDIR files; none without MindSpore."""
    if find_spec("mindspore") is None:
        return []
    model = folder / "model.mindir"
    _export(products.detector, model, ExportOptions("mindir", "network", "fp32"))
    data, beside = model.read_bytes(), json_beside(model).read_bytes()
    files = {"model.mindir": data, "model.mindir.json": beside}

    def mutate_graph(rng: np.random.Generator) -> None:
        from campaign import mindir  # only in the child process, because MindSpore starts threads

        mindir.write_with_checksum(Path("model.mindir"), mindir.mutated_model(data, rng), beside)
        inspect_with(Path("model.mindir"))

    def prepare() -> None:
        inspect_with(model)

    return [
        Kind("MINDIR files", 0.01, 12, file_attempt("model.mindir", files), prepare),
        Kind("graphs of MINDIR files with a valid checksum", 0.01, 56, mutate_graph, prepare),
    ]


def _export(detector: Path, path: Path, options: ExportOptions) -> None:
    run_function(lambda: 0 if export(detector, path, options) else 1)


def run(kind: Kind, count: int, folder: Path) -> Row:
    """Make `count` attempts in several processes. A process that crashes or hangs is a failure of its attempt."""
    failures: list[str] = []
    peak = index = 0
    shared = np.frombuffer(mmap(-1, 16))  # start time and number of the current attempt
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    log = folder / "log"
    while index < count:
        numbers = range(index, min(index + ATTEMPTS_PER_PROCESS, count))
        with log.open("wb") as output:
            shared[:] = time.monotonic() + START_TIMEOUT, index
            process = start_process(partial(run_attempts, kind, numbers, shared, empty), output.fileno())
            status, memory, index = wait_for(process, shared, numbers.stop)
        peak = max(peak, memory)
        failures += [line for line in log.read_text(errors="replace").splitlines() if line.startswith("attempt ")]
        if status:
            reason = "timeout" if status == -signal.SIGKILL else f"ended with status {status}"
            failures.append(f"attempt {index - 1}: {reason}")
    failures += [f"left behind: {path}" for path in empty.iterdir()]
    return Row(f"{kind.name}, mutated", count, f"passed; at most {peak / 2**20:,.0f} MiB", GUARANTEE, failures)


def wait_for(process: int, shared: np.ndarray, stop: int) -> tuple[int, int, int]:
    """Wait for a process and kill it if an attempt times out.

    Returns its status, its peak memory in bytes, and the number of the next attempt: `stop` if the process succeeded.
    """
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        start, index = float(shared[0]), int(shared[1])
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code, usage.ru_maxrss * 1024, index + 1 if code else stop
        if time.monotonic() - start > TIMEOUT:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def run_attempts(kind: Kind, numbers: range, shared: np.ndarray, empty: Path) -> int:
    """Make the attempts of these numbers in the folder `empty`; print a line for each problem."""
    os.chdir(empty)
    folder = str(empty.resolve())
    kind.prepare()
    sys.addaudithook(lambda event, arguments: report_forbidden(event, arguments, folder, int(shared[1])))
    for index in numbers:
        shared[:] = time.monotonic(), index
        try:
            kind.attempt(np.random.default_rng([index, kind.seed]))
        except InputError as error:
            if len(str(error).splitlines()) != 1 or len(str(error)) > MAX_MESSAGE_LENGTH:
                print(f"attempt {index}: not one line: {str(error)[:300]!r}")
        except Exception as error:  # any other exception is a failure
            print(f"attempt {index}: {type(error).__name__}: {str(error)[:200]!r}")
        for path in empty.iterdir():
            path.unlink()
    return 0


def report_forbidden(event: str, arguments: tuple[Any, ...], folder: str, index: int) -> None:
    """Print a line if an audit event starts a program, opens a connection or writes outside `folder`."""
    if event in FORBIDDEN_EVENTS:
        print(f"attempt {index}: {event} {arguments!r}"[:300])
    if event != "open":
        return
    path, _, flags = arguments
    if isinstance(path, str) and isinstance(flags, int) and flags & WRITE_FLAGS:
        path = os.path.realpath(path)
        if not path.startswith((folder, "/dev/")):
            print(f"attempt {index}: wrote {path}"[:300])


def image_attempt(detector: Path) -> Attempt:
    """Return an attempt that inspects a mutated image of a random format and mode."""
    loaded: list[Detector] = []
    files = _image_files()

    def attempt(rng: np.random.Generator) -> None:
        if not loaded:
            loaded.append(Detector.load(detector, runtime="onnxruntime", threads=1))
        data = mutated(files[rng.integers(len(files))], rng)
        loaded[0].inspect(decode_image(BytesIO(data), "image"))

    return attempt


def _image_files() -> list[bytes]:
    """Return the same image in all formats and modes."""
    image = Image.effect_noise((48, 40), 60)
    files = []
    for name, modes in {"PNG": "L RGB RGBA P 1 I;16", "JPEG": "L RGB CMYK", "BMP": "L RGB P 1"}.items():
        files += [_saved(image, name, mode) for mode in modes.split()]
    files += [_saved(image, "JPEG", "RGB", progressive=True), _saved(image, "WEBP", "RGB", lossless=True)]
    files += [_saved(image, "WEBP", "RGBA"), *(_saved(image, "TIFF", mode) for mode in ("L", "RGB", "I;16", "1"))]
    compressions = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    return files + [_saved(image, "TIFF", "RGB", compression=compression) for compression in compressions]


def _saved(image: Image.Image, name: str, mode: str, **settings: Any) -> bytes:
    buffer = BytesIO()
    if mode == "I;16":
        Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(buffer, name, **settings)
    else:
        image.convert(mode).save(buffer, name, **settings)
    return buffer.getvalue()


def file_attempt(name: str, files: dict[str, bytes]) -> Attempt:
    """Return an attempt that mutates one of the files of a detector and opens the detector by `name`."""

    def attempt(rng: np.random.Generator) -> None:
        chosen = str(rng.choice(list(files)))
        for file, data in files.items():
            Path(file).write_bytes(mutated(data, rng) if file == chosen else data)
        inspect_with(Path(name))

    return attempt


def header_attempt(file: Any, write: Callable[[Any, dict[str, Any]], None]) -> Attempt:
    """Return an attempt that opens a detector file with a mutated header or mutated weights, and a valid checksum."""

    def attempt(rng: np.random.Generator) -> None:
        metadata, weights = header(file), dict(file.weights)
        if rng.random() < 0.8:
            metadata = mutated_json(metadata, rng)
        else:
            name = str(rng.choice(list(weights)))
            weights[name] = weights[name] * rng.choice(WEIGHT_FACTORS)
        try:
            write(file._replace(weights=weights), metadata)
        except (ValueError, TypeError, AttributeError):  # some values cannot be written
            return
        inspect_with(Path("x"))

    return attempt


def write_safetensors(file: Any, metadata: dict[str, Any]) -> None:
    """Write a detector file with this metadata."""
    write_tensors(Path("x"), file.weights, metadata)


def write_onnx(file: Any, metadata: dict[str, Any]) -> None:
    """Write an exported ONNX file with this metadata."""
    model = network_model(network_of(file.config), file.weights)
    Path("x").write_bytes(model_bytes(model, {**metadata, **EMPTY_CHECKSUM}))


def openvino_graph_attempt(description: Path) -> Attempt:
    """Return an attempt that opens an OpenVINO file with a mutated graph and a valid checksum."""
    text, weights = description.read_bytes(), description.with_suffix(".bin").read_bytes()

    def attempt(rng: np.random.Generator) -> None:
        tree = ET.fromstring(text)
        metadata = tree.find(f"rt_info/{METADATA_KEY}")
        assert metadata is not None
        metadata.set("value", json.dumps({**json.loads(metadata.attrib["value"]), **EMPTY_CHECKSUM}))
        graph = [element for part in ("layers", "edges") for element in tree.findall(f"{part}//*")]
        for _ in range(rng.integers(1, 4)):
            element, other = (graph[number] for number in rng.integers(len(graph), size=2))
            if element.attrib:
                values = [*other.attrib.values(), "0", "-1", "1", "3", "70000", "4294967296", "9" * 30, "1,1", "x"]
                element.set(str(rng.choice(list(element.attrib))), str(rng.choice(values)))
            elif element.text:
                element.text = str(rng.choice(["0", "-1", "70000", "9" * 30]))
        Path("model.bin").write_bytes(weights)
        Path("model.xml").write_bytes(with_checksum(ET.tostring(tree, xml_declaration=True)))
        inspect_with(Path("model.xml"))

    return attempt


def inspect_with(path: Path) -> None:
    """Open a detector file and inspect an image. Raises ArithmeticError if the result is invalid."""
    inspection = Detector.load(path, threads=1).inspect(np.full((40, 48, 3), 128, np.uint8))
    if not np.isfinite(inspection.score) or inspection.verdict not in ("ok", "nok"):
        raise ArithmeticError(f"score {inspection.score}")


def read_config(data: bytes) -> None:
    """Read a config file."""
    Path("x.yaml").write_bytes(data)
    Config.read("x.yaml")


def resume(data: bytes, config: Config) -> None:
    """Read a checkpoint."""
    Path("checkpoint.safetensors").write_bytes(data)
    read_checkpoint(Path(), "x", config)


def read_table(data: bytes) -> None:
    """Read a history."""
    Path(HISTORY_NAME).write_bytes(data)
    read_history(Path())
