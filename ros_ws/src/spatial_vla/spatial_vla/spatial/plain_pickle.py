"""Reading pickles that others wrote: numbers, words, containers and numpy arrays; nothing that runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

#: What a file of plain data needs, by the names of numpy 1 and 2 and of old protocols. None runs a file's code.
_ALLOWED = {
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *(("collections", name) for name in ("OrderedDict", "defaultdict")),
    *(
        (module, name)
        for module in ("builtins", "__builtin__")
        for name in ("dict", "list", "set", "frozenset", "tuple", "bytearray", "complex")
    ),
    ("_codecs", "encode"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}; expected plain data (numbers, words, lists, dictionaries, arrays). "
                "Convert the file with the program that wrote it, or to JSON"
            )
        return super().find_class(module, name)


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle file of plain data.

    Raises:
        ValueError: naming the file and what in it is not plain, before any of it has run.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is not read: {error}") from error
