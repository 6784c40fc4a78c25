"""100 000 changed files: each gives a verdict or one clear line, soon, and leaves nothing behind."""

import json
import os
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

from campaign.child import WRITING, call, start_call
from campaign.mutate import mutated, mutated_json
from campaign.products import Products
from campaign.row import Row
from ssim_ae import Config, Detector, InputError
from ssim_ae.detector.detector_file import header, json_beside, layer_table, read_detector
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import decode_image
from ssim_ae.network.onnx_network import model_bytes, network_model
from ssim_ae.storage import METADATA_KEY, SEAL, UNSEALED, sealed, write_tensors
from ssim_ae.training.checkpoints import read_checkpoint
from ssim_ae.training.history import HISTORY_NAME, read_history

PROMISE = "A verdict or one clear line, within 5 s; nothing is written elsewhere, no program is started."
SECONDS = 5.0
START = 30.0  # seconds more for a process to start
CHUNK = 500  # attempts of one process
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect"}
Attempt = Callable[[np.random.Generator], None]


class Kind(NamedTuple):
    """A kind of input: its share of all attempts, what makes one, and what each process does before its first."""

    name: str
    share: float
    attempt: Attempt
    prepare: Callable[[], None] = lambda: None


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Try `times` thousand changed inputs of all kinds together."""
    folder.mkdir()
    for kind in kinds(products, folder):
        count = int(1000 * times * kind.share)
        yield run(kind, count, folder)


def kinds(products: Products, folder: Path) -> list[Kind]:
    """Return all kinds of input."""
    file = read_detector(products.detector)
    model, description = folder / "model.onnx", folder / "model.xml"
    call(lambda: bool(export(products.run, model, ExportOptions())) - 1)
    call(lambda: bool(export(products.run, description, ExportOptions("openvino", "network", "fp32"))) - 1)
    yaml = file.config.to_yaml().encode()
    checkpoint = (products.run / "checkpoint.safetensors").read_bytes()
    history = (products.run / HISTORY_NAME).read_bytes()
    named = {"detector.safetensors": products.detector.read_bytes(), "model.onnx": model.read_bytes()}
    tables = {name: opening(name, {name: data}) for name, data in named.items()}
    weights = description.with_suffix(".bin").read_bytes()
    tables["model.xml"] = opening("model.xml", {"model.xml": description.read_bytes(), "model.bin": weights})
    return [
        Kind("images of every format", 0.45, inspecting(products.detector)),
        Kind("detector files", 0.07, tables["detector.safetensors"]),
        Kind("detector files, sealed again after a change to what they say", 0.1, resealed(file, written_tensors)),
        Kind("ONNX files", 0.05, tables["model.onnx"]),
        Kind("ONNX files, sealed again", 0.05, resealed(file, written_onnx)),
        Kind("OpenVINO files", 0.02, tables["model.xml"]),
        Kind("OpenVINO files, sealed again after a change to their graph", 0.03, regrafted(description)),
        Kind("configs", 0.14, lambda rng: read_config(mutated(yaml, rng))),
        Kind("checkpoints", 0.03, lambda rng: resume(mutated(checkpoint, rng), file.config)),
        Kind("histories (CSV)", 0.06, lambda rng: read_table(mutated(history, rng))),
        *mindir_kinds(products, folder),
    ]


def mindir_kinds(products: Products, folder: Path) -> list[Kind]:
    """Return those of MINDIR files, if MindSpore is installed."""
    if find_spec("mindspore") is None:
        return []
    model = folder / "model.mindir"
    call(lambda: bool(export(products.run, model, ExportOptions("mindir", "network", "fp32"))) - 1)
    data, beside = model.read_bytes(), json_beside(model).read_bytes()
    files = {"model.mindir": data, "model.mindir.json": beside}

    def attempt(rng: np.random.Generator) -> None:
        from campaign import mindir  # not before the fork: MindSpore starts threads

        mindir.resealed(Path("model.mindir"), mindir.changed(data, rng), beside)
        inspect_with(Path("model.mindir"))

    return [
        Kind("MINDIR files", 0.01, opening("model.mindir", files), lambda: inspect_with(model)),
        Kind("MINDIR files, sealed again after a change to their graph", 0.01, attempt, lambda: inspect_with(model)),
    ]


def run(kind: Kind, count: int, folder: Path) -> Row:
    """Make so many attempts, in processes of CHUNK each; one that dies or hangs is a failure, and the rest goes on."""
    failures: list[str] = []
    peak = index = 0
    shared = np.frombuffer(mmap(-1, 16))  # when the attempt under way began, and its number
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    while index < count:
        log, numbers = folder / "log", range(index, min(index + CHUNK, count))
        with log.open("wb") as output:
            shared[:] = time.monotonic() + START, index
            process = start_call(partial(attempts, kind, numbers, shared, empty), output.fileno())
            status, memory, index = watched(process, shared, numbers.stop)
        peak = max(peak, memory)
        failures += [line for line in log.read_text(errors="replace").splitlines() if line.startswith("attempt ")]
        if status:
            failures.append(f"attempt {index - 1}: {'no answer' if status == -9 else f'ended by {status}'}")
    failures += [f"left behind: {path}" for path in empty.iterdir()]
    return Row(f"{kind.name}, changed", count, f"kept; at most {peak / 2**20:,.0f} MiB", PROMISE, failures)


def watched(process: int, shared: np.ndarray, last: int) -> tuple[int, int, int]:
    """Wait for a process; return its status, its peak memory in bytes, and the attempt to go on with."""
    while True:
        ended, status, used = os.wait4(process, os.WNOHANG)
        began, index = float(shared[0]), int(shared[1])
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code, used.ru_maxrss * 1024, index + 1 if code else last
        if time.monotonic() - began > SECONDS:
            os.kill(process, 9)
        time.sleep(0.01)


def attempts(kind: Kind, numbers: range, shared: np.ndarray, empty: Path) -> int:
    """Make the attempts of these numbers; print what goes wrong."""
    os.chdir(empty)
    here = str(empty.resolve())
    began = [numbers.start]
    kind.prepare()
    sys.addaudithook(lambda event, arguments: watch(event, arguments, here, began[0]))
    for index in numbers:
        shared[:] = time.monotonic(), index
        began[0] = index
        try:
            kind.attempt(np.random.default_rng([index, len(kind.name)]))
        except InputError as error:
            if len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
                print(f"attempt {index}: not one line: {str(error)[:300]!r}")
        except Exception as error:  # what the campaign looks for
            print(f"attempt {index}: {type(error).__name__}: {str(error)[:200]!r}")
        for path in empty.iterdir():
            path.unlink()
    return 0


def watch(event: str, arguments: tuple[Any, ...], here: str, index: int) -> None:
    """Print what no input may lead to."""
    if event in STARTS:
        print(f"attempt {index}: {event} {arguments!r}"[:300])
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING and isinstance(arguments[0], str):
        path = os.path.realpath(arguments[0])
        if not path.startswith((here, "/dev/")):
            print(f"attempt {index}: wrote {path}"[:300])


def inspecting(detector: Path) -> Attempt:
    """Images in every format and mode, inspected."""
    opened: list[Detector] = []
    picture = Image.effect_noise((48, 40), 60)
    files = []
    for name, modes in {"PNG": "L RGB RGBA P 1 I;16", "JPEG": "L RGB CMYK", "BMP": "L RGB P 1"}.items():
        files += [_saved(picture, name, mode) for mode in modes.split()]
    files += [_saved(picture, "JPEG", "RGB", progressive=True), _saved(picture, "WEBP", "RGB", lossless=True)]
    files += [_saved(picture, "WEBP", "RGBA"), *(_saved(picture, "TIFF", mode) for mode in ("L", "RGB", "I;16", "1"))]
    packings = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    files += [_saved(picture, "TIFF", "RGB", compression=packing) for packing in packings]

    def attempt(rng: np.random.Generator) -> None:
        if not opened:
            opened.append(Detector.load(detector, runtime="onnxruntime", threads=1))
        data = mutated(files[rng.integers(len(files))], rng)
        opened[0].inspect(decode_image(BytesIO(data), "image"))

    return attempt


def _saved(picture: Image.Image, name: str, mode: str, **settings: Any) -> bytes:
    buffer = BytesIO()
    if mode == "I;16":
        Image.fromarray(np.asarray(picture).astype(np.uint16) * 257).save(buffer, name, **settings)
    else:
        picture.convert(mode).save(buffer, name, **settings)
    return buffer.getvalue()


def opening(name: str, files: dict[str, bytes]) -> Attempt:
    """Files of a detector, of which one is changed, opened by `name`."""

    def attempt(rng: np.random.Generator) -> None:
        chosen = str(rng.choice(list(files)))
        for file, data in files.items():
            Path(file).write_bytes(mutated(data, rng) if file == chosen else data)
        inspect_with(Path(name))

    return attempt


def resealed(file: Any, write: Callable[[Any, dict[str, Any]], None]) -> Attempt:
    """A detector file with another header, or other weights, and a seal that fits."""

    def attempt(rng: np.random.Generator) -> None:
        metadata, weights = header(file), dict(file.weights)
        if rng.random() < 0.8:
            metadata = mutated_json(metadata, rng)
        else:
            name = str(rng.choice(list(weights)))
            weights[name] = weights[name] * rng.choice(np.float32([0, -1, 1e10, 1e38, np.inf, np.nan]))
        try:
            write(file._replace(weights=weights), metadata)
        except (ValueError, TypeError, AttributeError):  # what cannot be written
            return
        inspect_with(Path("x"))

    return attempt


def written_tensors(file: Any, metadata: dict[str, Any]) -> None:
    """Write as our own detectors are."""
    write_tensors(Path("x"), file.weights, metadata)


def written_onnx(file: Any, metadata: dict[str, Any]) -> None:
    """Write as our own exports are."""
    model = network_model(layer_table(file.config), file.weights, tile_size=file.config.tile_size)
    Path("x").write_bytes(model_bytes(model, {**metadata, SEAL: UNSEALED}))


def regrafted(description: Path) -> Attempt:
    """An OpenVINO file whose graph was changed, with a seal that fits."""
    text, weights = description.read_bytes(), description.with_suffix(".bin").read_bytes()

    def attempt(rng: np.random.Generator) -> None:
        tree = ET.fromstring(text)
        said = tree.find(f"rt_info/{METADATA_KEY}")
        assert said is not None
        said.set("value", json.dumps({**json.loads(said.attrib["value"]), SEAL: UNSEALED}))
        graph = [element for part in ("layers", "edges") for element in tree.findall(f"{part}//*")]
        for _ in range(rng.integers(1, 4)):
            one, other = (graph[number] for number in rng.integers(len(graph), size=2))
            if one.attrib:
                values = [*other.attrib.values(), "0", "-1", "1", "3", "70000", "4294967296", "9" * 30, "1,1", "x"]
                one.set(str(rng.choice(list(one.attrib))), str(rng.choice(values)))
            elif one.text:
                one.text = str(rng.choice(["0", "-1", "70000", "9" * 30]))
        Path("model.bin").write_bytes(weights)
        Path("model.xml").write_bytes(sealed(ET.tostring(tree, xml_declaration=True)))
        inspect_with(Path("model.xml"))

    return attempt


def inspect_with(path: Path) -> None:
    """Open a detector file and inspect a picture."""
    found = Detector.load(path, threads=1).inspect(np.full((40, 48, 3), 128, np.uint8))
    if not np.isfinite(found.score) or found.verdict not in ("ok", "nok"):
        raise ArithmeticError(f"score {found.score}")


def read_config(data: bytes) -> None:
    """Read a config's file."""
    Path("x.yaml").write_bytes(data)
    Config.read("x.yaml")


def resume(data: bytes, config: Config) -> None:
    """Read a checkpoint's file."""
    Path("checkpoint.safetensors").write_bytes(data)
    read_checkpoint(Path(), "x", config)


def read_table(data: bytes) -> None:
    """Read a history's file."""
    Path(HISTORY_NAME).write_bytes(data)
    read_history(Path())
