"""Fetches checkpoints from the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

RELEASE = "HaoyiZhu/SPA"
RECOMMENDED = "spa-l.safetensors"  # by SPA's authors

_HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<file>[\w./-]+))?")


class DownloadFailed(OSError):
    """A checkpoint could not be fetched; the message says how to do it by hand."""


def hub_file(name: str) -> tuple[str, str] | None:
    """Repository and file of a hub id ``owner/name:file``; without a file, the large release's. None for others.

    What ends like a weights file and names no file inside a repository is a path.
    """
    match = _HUB_ID.fullmatch(name)
    if match is None or (
        match["file"] is None and Path(name).suffix in (".safetensors", ".ckpt", ".pt", ".pth")
    ):
        return None
    return match["repository"], match["file"] or RECOMMENDED


def download(repository: str, file: str) -> Path:
    """Local path of a file of the Hub, fetched unless the cache (``HF_HOME``) has it. The releases are several GB.

    Raises:
        DownloadFailed: no network, no such file, or no permission.
    """
    from huggingface_hub import hf_hub_download  # slow to import, and rarely needed
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(repository, file))
    except (OSError, HFValidationError) as error:  # every error of the library that the network can cause
        raise DownloadFailed(
            f"could not fetch {file} of {repository} from the Hugging Face Hub: {error}\n"
            f"By hand: on a machine with a network, download https://huggingface.co/{repository}/resolve/main/{file} "
            f"(or run: hf download {repository} {file}), copy the file here, and pass its path: "
            f"load_encoder('path/to/{Path(file).name}')"
        ) from error
