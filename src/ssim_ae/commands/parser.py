"""The command line's words: the config's keys as options, spelt with - or _, and errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from ssim_ae.errors import InputError
from ssim_ae.spelling import SPELLINGS, nearest


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose options may be spelt with - or _."""

    def add_config_keys(self, keys: Iterable[str] | None = None) -> None:
        """Add the config's keys as options: all of them, or some."""
        from ssim_ae.config import Config, sections

        wanted = set(Config.model_fields if keys is None else keys)
        for title, fields in sections():
            group = self.add_argument_group(title)
            for key, field in fields:
                if key in wanted:
                    text = f"{field.description} ({field.get_default(call_default_factory=True)})".replace("%", "%%")
                    group.add_argument(f"--{key}", dest=f"config.{key}", metavar="", help=text)

    def add_runtime(self) -> None:
        """Add what says how the network is run."""
        self.add_argument(
            "--runtime", default="auto", help="onnxruntime, openvino, torch, mindspore (auto: the fastest)"
        )
        self.add_argument("--threads", type=int, help="at most (one a core)")

    def spelt(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments with option names spelt as they were declared."""
        declared = {option.replace("-", "_"): option for option in self._option_string_actions}
        spelt = []
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if name.startswith("--"):
                plain = name[2:].replace("-", "_")
                name = declared.get(f"__{SPELLINGS.get(plain, plain)}", name)
            spelt.append(name + equals + value)
        return spelt

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        hint = nearest(unknown, self._option_string_actions) if unknown.startswith("--") else ""
        raise InputError(f"{message}{hint}; see {self.prog} -h")
