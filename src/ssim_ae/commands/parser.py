"""The argument parser of all commands: options for settings, - or _ in option names, and errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from ssim_ae.errors import InputError
from ssim_ae.spelling import KEY_ALIASES, did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser that raises InputError for a usage error and accepts - and _ in option names."""

    def add_config_keys(self, keys: Iterable[str] | None = None) -> None:
        """Add settings as options: all of them, or some. The help shows the defaults of every method."""
        from ssim_ae.config import Config
        from ssim_ae.config.descriptions import default_of, description, main_user, sections
        from ssim_ae.config.yaml_files import to_yaml_value

        wanted = set(Config.model_fields if keys is None else keys)
        for title, fields in sections():
            group = self.add_argument_group(title)
            for key, _ in fields:
                if key in wanted:
                    method = main_user(key)
                    default = to_yaml_value(key, default_of(key, method))
                    text = f"{description(key, method)} [{default}]".replace("%", "%%")
                    group.add_argument(f"--{key}", dest=f"config.{key}", metavar="", help=text)

    def add_runtime_options(self) -> None:
        """Add the options that choose the runtime and its threads."""
        self.add_argument(
            "--runtime", default="auto", help="onnxruntime, openvino, torch or mindspore (auto: the fastest)"
        )
        self.add_argument("--threads", type=int, help="maximum number of threads (one per core)")

    def normalize_option_names(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments with - and _ in option names as declared, and with aliases of settings replaced."""
        declared = {option.replace("-", "_"): option for option in self._option_string_actions}
        normalized = []
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if name.startswith("--"):
                key = name[2:].replace("-", "_")
                name = declared.get(f"__{KEY_ALIASES.get(key, key)}", name)
            normalized.append(name + equals + value)
        return normalized

    def error(self, message: str) -> NoReturn:
        """Raise InputError with a suggestion for a misspelled option."""
        unknown = message.removeprefix("unrecognized arguments: ").partition(" ")[0].partition("=")[0]
        hint = did_you_mean(unknown, self._option_string_actions) if unknown.startswith("--") else ""
        raise InputError(f"{message}{hint}; see {self.prog} -h")
