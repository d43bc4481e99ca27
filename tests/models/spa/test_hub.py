"""The Hub: what counts as an id, a download from a local stand-in, and no network."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from spatial_models.spa import SpaEncoder, save_released
from spatial_models.spa.hub import hub_file

LOAD = "import sys; from spatial_models.spa import load_encoder; print(load_encoder(sys.argv[1], 32).width)"
FACTORY = "from spatial_models.spa import spa_vit_base_patch16; spa_vit_base_patch16(pretrained=True)"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("HaoyiZhu/SPA:spa-b.safetensors", ("HaoyiZhu/SPA", "spa-b.safetensors")),
        ("HaoyiZhu/SPA", ("HaoyiZhu/SPA", "spa-l.safetensors")),
        ("me/rooms:runs/1/last.ckpt", ("me/rooms", "runs/1/last.ckpt")),
        ("runs/last.ckpt", None),
        ("spa-b.safetensors", None),
        ("a/b/c", None),
    ],
)
def test_ids(name: str, wanted: tuple[str, str] | None) -> None:
    assert hub_file(name) == wanted


def python(code: str, *arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter: the Hub's library reads its settings when it is imported."""
    environment = {**os.environ, "HF_HOME": str(home), **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def test_without_a_network_the_manual_way_is_told(tmp_path: Path) -> None:
    done = python(FACTORY, home=tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    message = done.stderr[done.stderr.rindex("DownloadFailed") :]
    assert "could not fetch spa-b.safetensors of HaoyiZhu/SPA" in message
    assert "https://huggingface.co/HaoyiZhu/SPA/resolve/main/spa-b.safetensors" in message
    assert "hf download HaoyiZhu/SPA spa-b.safetensors" in message
    assert "load_encoder('path/to/spa-b.safetensors')" in message


class StandIn(http.server.BaseHTTPRequestHandler):
    """One file of one repository, as the Hub serves it."""

    content = b""
    wanted = "/me/rooms/resolve/main/spa.safetensors"

    def do_HEAD(self) -> None:
        found = self.path == self.wanted
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(self.content) if found else 0))
        if found:
            self.send_header("ETag", '"0123456789abcdef"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path == self.wanted:
            self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    torch.manual_seed(0)
    save_released(SpaEncoder(32, 16, 64, 1, 1), tmp_path / "spa.safetensors")
    StandIn.content = (tmp_path / "spa.safetensors").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_is_downloaded_once_and_then_taken_from_the_cache(endpoint: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = python(LOAD, "me/rooms:spa.safetensors", home=home, HF_ENDPOINT=endpoint)
    assert done.stdout == "64\n", done.stderr
    done = python(LOAD, "me/rooms:spa.safetensors", home=home, HF_HUB_OFFLINE="1")
    assert done.stdout == "64\n", done.stderr


def test_a_file_that_is_not_there_is_named(endpoint: str, tmp_path: Path) -> None:
    done = python(LOAD, "me/rooms:other.safetensors", home=tmp_path / "home", HF_ENDPOINT=endpoint)
    assert "DownloadFailed: could not fetch other.safetensors of me/rooms" in done.stderr
