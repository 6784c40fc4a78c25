"""Methods: how detectors are trained and how they inspect. One file per method, and one for its ONNX operators.

A file of this package that defines `METHOD` is a method; its name is the value of the setting `method`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from ssim_ae.errors import InputError
from ssim_ae.methods.method import Method
from ssim_ae.methods.trained import TrainedMethod

if TYPE_CHECKING:
    from ssim_ae.config import Config

METHOD_ORDER = ("features", "segment", "repair", "reference")  # the first is the default (docs/results/current.md)


@cache
def _registry() -> dict[str, Method]:
    """Return the methods by name, in the order of METHOD_ORDER."""
    names = [module.name for module in iter_modules(__path__) if not module.name.endswith("_onnx")]
    modules = [import_module(f"{__name__}.{name}") for name in names]
    methods = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    ranks = {name: rank for rank, name in enumerate(METHOD_ORDER)}
    return {method.name: method for method in sorted(methods, key=lambda method: ranks.get(method.name, len(ranks)))}


def register(method: Method) -> None:
    """Add a method that is not a file of this package."""
    _registry()[method.name] = method


def methods() -> list[Method]:
    """Return all methods, the default first."""
    return list(_registry().values())


def get_method(name: str) -> Method:
    """Return a method by its name. Raises InputError if there is none."""
    if name not in _registry():
        raise InputError(f"method: should be one of {', '.join(_registry())}, not {name!r}")
    return _registry()[name]


def method_of(config: Config) -> Method:
    """Return the method that a configuration names."""
    return get_method(config.method)


def trained_method_of(config: Config) -> TrainedMethod:
    """Return the method that a configuration names; TypeError if it is not trained."""
    method = method_of(config)
    if not isinstance(method, TrainedMethod):
        raise TypeError(f"method {method.name} has no layers and is not trained")
    return method


def unused_settings(name: str) -> frozenset[str]:
    """Return the settings that have no effect with a method, because only others use them."""
    of_others = frozenset[str]().union(*(other.own_settings for other in methods()))
    return of_others - get_method(name).own_settings


def default_method(given: Collection[str] = (), engine: str = "auto") -> str:
    """Return the name of the method that is used if none is given: the first that uses all the given settings.

    An `engine` other than auto has to support it.
    """
    names = [method.name for method in methods() if engine == "auto" or engine in method.engines] or list(_registry())
    return next((name for name in names if unused_settings(name).isdisjoint(given)), names[0])
