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
        """Add settings as options: all of them, or some. The help shows the defaults of every method."""
        from ssim_ae.config.config import Config, default_of, description, sections
        from ssim_ae.config.yaml_files import to_edge
        from ssim_ae.methods import DEFAULT_METHOD

        wanted = set(Config.model_fields if keys is None else keys)
        for title, fields in sections():
            group = self.add_argument_group(title)
            for key, _ in fields:
                if key in wanted:
                    default = to_edge(key, default_of(key, DEFAULT_METHOD))
                    text = f"{description(key, DEFAULT_METHOD)} [{default}]".replace("%", "%%")
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
        """Raise InputError, with the nearest option if one is unknown."""
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        hint = nearest(unknown, self._option_string_actions) if unknown.startswith("--") else ""
        raise InputError(f"{message}{hint}; see {self.prog} -h")
