"""Run commands as far as possible as on another system: another_system.py win32|darwin [LIBRARY...] < commands

What Python lacks there is taken away, and with win32 the rules of Windows for files hold: no file that is open is
renamed or removed, no folder is opened, and names have no reserved characters. Each line is a command of ssim-ae;
`serve ... --port PORT` is asked once and interrupted. Libraries are named that the commands use beyond LIBRARIES. What
cannot be taken away stays Linux: paths, the file system, processes, and the libraries.
"""

import asyncio
import faulthandler
import importlib
import os
import shlex
import sys
import time
from _thread import interrupt_main
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

LIBRARIES = (  # imported before the change: the other system has its own builds of them
    *("concurrent.futures.process", "getpass", "http.server", "multiprocessing.shared_memory", "platform"),
    *("pty", "shutil", "ssl", "subprocess", "tempfile", "uuid", "webbrowser", "zoneinfo"),
    *("fastapi", "httpx", "numpy", "onnx", "onnxruntime", "paho.mqtt.client", "PIL.Image", "PIL.ImageFont"),
    *("prometheus_client", "pyarrow.parquet", "pydantic", "python_multipart", "rich.progress", "safetensors.numpy"),
    *("sqlalchemy", "threadpoolctl", "uvicorn", "yaml"),
)
POSIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
LINUX_FUNCTIONS = ("copy_file_range", "memfd_create", "sched_getaffinity", "sched_setaffinity", "sendfile")
POSIX_FUNCTIONS = (
    *(
        "chown",
        "fchmod",
        "fchown",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
        "getloadavg",
        "getpgid",
        "getuid",
    ),
    *(
        "killpg",
        "lchown",
        "mkfifo",
        "nice",
        "register_at_fork",
        "setsid",
        "statvfs",
        "sync",
        "sysconf",
        "uname",
        "wait",
    ),
)
OPEN_FILES, MAPPED_FILES = Path("/proc/self/fd"), Path("/proc/self/maps")
RESERVED_CHARACTERS = set('<>:"|?*')


def become(system: str, *libraries: str) -> None:
    """Take away what Python lacks on the system."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as ssim_ae.frameworks does
    for name in (*LIBRARIES, *libraries):
        importlib.import_module(name)
    for name in (*LINUX_FUNCTIONS, *(POSIX_FUNCTIONS if system == "win32" else ())):
        if hasattr(os, name):
            delattr(os, name)
    if system == "win32":
        import shutil

        shutil._use_fd_functions = False  # type: ignore[attr-defined]  # removal of folders by way of their descriptors
        sys.modules.update(dict.fromkeys(POSIX_MODULES))
        asyncio.ProactorEventLoop = LoopWithoutSignals  # type: ignore[attr-defined]
        sys.addaudithook(refuse_like_windows)
    sys.platform = system


class LoopWithoutSignals(asyncio.SelectorEventLoop):
    """An event loop with what that of Windows cannot do."""

    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError

    add_reader = add_writer = add_signal_handler


def refuse_like_windows(event: str, arguments: tuple[object, ...]) -> None:
    """Raise the error of Windows for what it refuses to do with files."""
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes | os.PathLike):
            check_name(Path(os.fsdecode(path)))
            if isinstance(flags, int) and Path(os.fsdecode(path)).is_dir():
                raise PermissionError(13, "Windows opens no folder", os.fsdecode(path))
    elif event == "os.mkdir":
        check_name(Path(os.fsdecode(arguments[0])))  # type: ignore[arg-type]
    elif event in ("os.rename", "os.remove"):
        for path in arguments[: 2 if event == "os.rename" else 1]:
            check_closed(Path(os.fsdecode(path)))  # type: ignore[arg-type]


def check_name(path: Path) -> None:
    """Raise the error of Windows for a name that it does not accept."""
    if RESERVED_CHARACTERS & set(path.name):
        raise OSError(22, "Windows accepts no such name", str(path))


def check_closed(path: Path) -> None:
    """Raise the error of Windows if this process has a file open or mapped, at this path or in this folder."""
    place = str(path.resolve())
    files = []
    for link in OPEN_FILES.iterdir():
        with suppress(FileNotFoundError):  # another thread has closed the file
            files.append(str(link.readlink()))
    files += [line.split(maxsplit=5)[5] for line in MAPPED_FILES.read_text().splitlines() if line.count("/")]
    if any(file == place or file.startswith(f"{place}/") for file in files):
        raise PermissionError(13, "Windows renames and removes no open file", str(path))


def ask_and_stop(url: str) -> None:
    """Wait for a server, ask it to inspect an image of the folder `data`, and interrupt this process."""
    for _ in range(600):
        time.sleep(0.1)
        with suppress(OSError):
            urlopen(f"{url}/healthz").read()
            break
    image = next(Path("data").rglob("*.png")).read_bytes()
    with urlopen(Request(f"{url}/v1/inspect", image, {"Content-Type": "image/png"})) as response:
        print(response.read().decode(), flush=True)
    interrupt_main()


def main() -> int:
    """Run the commands and stop at the first that fails."""
    faulthandler.enable()
    become(*sys.argv[1:])
    from ssim_ae.cli import main as run

    for line in sys.stdin.read().splitlines():
        print(f"$ ssim-ae {line}", flush=True)
        if line.startswith("serve"):
            Thread(target=ask_and_stop, args=[f"http://127.0.0.1:{line.split()[-1]}"]).start()
        if status := run(shlex.split(line)):
            print(f"{line}: status {status}", file=sys.stderr)
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
