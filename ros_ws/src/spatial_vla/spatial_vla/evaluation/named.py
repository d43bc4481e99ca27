"""Policies, environments and data sets by name: a short one, or ``package.module:Class`` of any that is installed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

POLICIES = {
    "shipped": "spatial_vla.evaluation.shipped:BundledPolicy",
    "spatialvla": "spatial_models.spatialvla.evaluated:EvaluatedSpatialVla",
}
ENVIRONMENTS = {
    "tabletop": "spatial_vla_sim.environment:TabletopEnvironment",
    "places": "spatial_vla_sim.environment:PlaceEnvironment",
    "libero": "spatial_models.libero:LiberoEnvironment",
}
DATA_SETS = {"recorded": "spatial_vla.evaluation.recorded:RecordedSteps"}


def made(known: Mapping[str, str], name: str, options: Sequence[str] = ()) -> Any:
    """An object by name.

    Args:
        known: short names. options: ``key=value`` for its constructor; a value that is JSON is read as such.

    Raises:
        ValueError: there is no such name, or an option is malformed or unknown; the message says what is expected.
        ModuleNotFoundError: what the name belongs to is not installed.
    """
    where = known.get(name, name)
    module, separator, attribute = where.partition(":")
    if not separator:
        raise ValueError(f"{name!r} is unknown; expected {', '.join(known)} or package.module:Class")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name!r} needs {error.name}, which is not installed: ./setup --dev brings torch and spatial_models, "
            "./setup alone spatial_vla_sim"
        ) from error
    except AttributeError as error:
        raise ValueError(f"{module} has no {attribute}") from error
    try:
        return factory(**_read(options))
    except TypeError as error:
        raise ValueError(f"{where} does not take {', '.join(options) or 'no options'}: {error}") from error


def _read(options: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        key, separator, text = option.partition("=")
        if not (key.isidentifier() and separator):
            raise ValueError(f"option {option!r}; expected key=value, such as seed=3")
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found
