"""What `--source` and `--trigger` accept; a bad one is one line, without the URL."""

import struct
import subprocess
import sys

import pytest

from ssim_ae import InputError
from ssim_ae.cli import main
from ssim_ae.sources.settings import source_settings
from ssim_ae.sources.triggers import Every, OnRequest, Rest

WAV = b"RIFF" + struct.pack("<I", 8036) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
WAV += b"data" + struct.pack("<I", 8000) + bytes(8000)
SECRET = "s3cr3t"
URL = f"rtsp://admin:{SECRET}@127.0.0.1:1/x"


def test_each_kind_of_source_is_recognized(tmp_path):
    file = tmp_path / "a=b.mp4"
    file.write_bytes(b"video")
    addresses = {
        "folder": str(tmp_path),
        "video": str(file),
        "stream": URL,
        "usb": "usb:0",
        "genicam": "genicam:SN 42",
    }
    found = source_settings([f"{kind}={address}" for kind, address in addresses.items()], [])
    assert [(source.kind, source.name, source.address) for source in found] == [
        (kind, kind, address) for kind, address in addresses.items()
    ]
    (device,) = source_settings(["press-1.left=/dev/video11"], [])
    assert device.kind == "usb" and SECRET not in repr(found)


def test_usb_cameras_are_read_on_linux_only(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(InputError, match=r"^--source a: USB cameras are read on Linux only; use a stream or a folder$"):
        source_settings(["a=usb:0"], [])


@pytest.mark.parametrize(
    ("rule", "kind", "seconds"),
    [
        ("every:2s", Every, 2),
        ("every:0.5min", Every, 30),
        ("every:40ms", Every, 0.04),
        ("still", Rest, None),
        ("stop", Rest, None),
        ("request", OnRequest, None),
        (None, Every, 1),
    ],
)
def test_each_rule_makes_its_trigger(rule, kind, seconds):
    (source,) = source_settings(["a=usb:0"], [f"a={rule}"] if rule else [])
    trigger = source.trigger()
    assert type(trigger) is kind and getattr(trigger, "seconds", None) == seconds
    assert getattr(trigger, "needs_part", rule == "still") == (rule == "still")


NAME_URL = "--source: should be NAME=URL, as press1=rtsp://camera/stream"
RULES = "give every:2s (from every:10ms to every:1440min), still, stop or request"
FAULTS = {
    "no name": (["--source", URL], NAME_URL),
    "empty name": (["--source", f"={URL}"], NAME_URL),
    "odd name": (["--source", f"a/b={URL}"], NAME_URL),
    "dots": (["--source", f"..={URL}"], NAME_URL),
    "letters": (["--source", f"préss={URL}"], NAME_URL),
    "long name": (["--source", f"{'a' * 65}={URL}"], NAME_URL),
    "no URL": (["--source", "a="], NAME_URL),
    "scheme": (
        ["--source", f"a=ftp://u:{SECRET}@h/x"],
        "--source a: ftp:// is not supported; give rtsp://, rtsps://, http:// or https://",
    ),
    "no host": (["--source", f"a=rtsp:///{SECRET}"], "--source a: not a valid URL; give rtsp://HOST/PATH"),
    "port": (["--source", f"a=http://u:{SECRET}@h:99999/"], "--source a: not a valid URL; give http://HOST/PATH"),
    "space": (["--source", f"a=http://u:{SECRET}@h/a b"], "--source a: not a valid URL; give http://HOST/PATH"),
    "missing": (["--source", f"a=u:{SECRET}@h/x"], "--source a: no such file or folder; give a path, usb:0, "),
    "twice": (["--source", "a=usb:0", "--source", "a=usb:1"], "--source a: given twice; give each source a name"),
    "no source": (["--trigger", "a=still"], "--trigger a: no source has this name"),
    "misspelled": (["--source", "press1=usb:0", "--trigger", "pres1=still"], "this name (did you mean 'press1'?)"),
    "rule": (["--source", "a=usb:0", "--trigger", "a=sill"], f"--trigger a: 'sill' is no rule; {RULES}"),
    "no unit": (["--source", "a=usb:0", "--trigger", "a=every:2"], f"--trigger a: 'every:2' is no rule; {RULES}"),
    "short": (["--source", "a=usb:0", "--trigger", "a=every:9ms"], "--trigger a: 'every:9ms' is no rule"),
    "long": (["--source", "a=usb:0", "--trigger", "a=every:1441min"], "--trigger a: 'every:1441min' is no rule"),
    "empty rule": (["--source", "a=usb:0", "--trigger", "a="], "--trigger: should be NAME=RULE, as press1=still"),
    "folder": (["--source", "a=.", "--trigger", "a=still"], "--trigger a: no effect on a folder, whose new images"),
    "misplaced": ([f"a={URL}"], "a="),
    "unknown option": (["--sorce", f"a={URL}"], "unrecognized arguments: --sorce a=rtsp://admin:***@127.0.0.1:1/x ("),
    "odd password": (["--sorce", f"a=rtsp://u:/@{SECRET}/:@h/x"], "--sorce a=rtsp://u:***@h/x ("),
    "password in the query": (["--sorce", f"a=http://h/x?u=a&p={SECRET}"], "--sorce a=http://h/x?*** ("),
}


@pytest.mark.parametrize(("arguments", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line_without_a_password(tiny_run, capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", str(tiny_run.folder), "--port", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.startswith("ssim-ae: ") and err.count("\n") == 1
    assert SECRET not in out + err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid data found when processing input"),
        (b"no video " * 1000, "Invalid data found when processing input"),
        (WAV, "not a video of a supported format"),
    ],
    ids=["empty", "text", "sound"],
)
def test_a_file_that_is_no_video_is_one_line(tiny_run, capsys, tmp_path, content, reason):
    path = tmp_path / "parts.mp4"
    path.write_bytes(content)
    assert main(["serve", str(tiny_run.folder), "--port", "0", "--source", f"press1={path}"]) == 2
    assert capsys.readouterr() == ("", f"ssim-ae: --source press1: {reason}; give a video file\n")


@pytest.mark.parametrize(
    ("module", "source", "hint"),
    [("av", "usb:0", "av"), ("harvesters", "genicam:SN 42", "av harvesters")],
)
def test_a_missing_package_is_named(tiny_run, capsys, monkeypatch, module, source, hint):
    for name in [name for name in sys.modules if name.startswith(("ssim_ae.sources.", f"{module}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["serve", str(tiny_run.folder), "--source", f"press1={source}"]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {module} is not installed; pip install {hint}\n"


def test_without_a_source_nothing_of_them_is_imported(tiny_run):
    program = f"""
import sys
for name in ("av", "harvesters", "ssim_ae.sources"):
    sys.modules[name] = None
from ssim_ae.server import serve as module
module.Server.run = lambda server, listeners: None
from ssim_ae import InputError
from ssim_ae.cli import main
sys.exit(main(["serve", {str(tiny_run.folder)!r}, "--port", "0"]))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (0, "stopped\n"), finished.stderr
