"""Feature maps of a folder of pictures as colours that mean the same in all of them.

    python -m spatial_models.spa.evaluation.feature_maps CHECKPOINT IMAGES_DIR --out DIR

writes ``DIR/<picture>.png`` and ``DIR/index.html``, one page with pictures and maps side by side that needs no network.

The recipe is that of SPA's figures: pictures squeezed to 448 x 448, patch tokens without class token, enlarged
bilinearly, one principal component analysis for all pictures, the three components in the range of the inliers as red,
green and blue.
What differs, and why the colours repeat from run to run and theirs do not:

* The components are exact (eigenvectors of the covariance of the enlarged maps, computed without enlarging them), not
  found by an unseeded random projection.
* A component's sign is fixed: its largest loading is positive.
* The release centres the features to find the components and projects the uncentred ones. That moves each component
  by a constant, which the range takes out again: the colours are the same either way.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich import print
from spatial_vla.viz import FeaturePalette
from spatial_vla.viz.features import robust_range
from torch import Tensor
from torch.nn import functional as F

from .frozen import feature_maps, frozen

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass
class FeatureMapArgs:
    """Draw the feature maps of the pictures in a folder."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """checkpoint of the encoder: a file or owner/name:file on the Hub"""
    images: Annotated[Path, tyro.conf.Positional]
    """folder of pictures"""
    out: Path = Path("feature_maps")
    """folder of the result"""
    image_size: int = 448
    """side that pictures are squeezed to [px], a multiple of the patch"""
    picture_size: int = 224
    """side of the drawn maps [px]"""
    device: str = "cpu"
    """where the encoder runs"""


def fit_palette(maps: Tensor, size: int) -> FeaturePalette:
    """The colours of a set of maps.

    Args:
        maps: (N, D, h, w). size: side that maps are enlarged to [px].

    Returns:
        Palette whose components are those of the N size² enlarged vectors.

    Raises:
        ValueError: fewer than three channels or vectors, or a number that is not finite.
    """
    n, channels, h, w = maps.shape
    if channels < 3 or n * h * w < 3 or not torch.isfinite(maps).all():
        raise ValueError(
            f"principal components of three colours need finite maps of three channels and vectors or more, got "
            f"{tuple(maps.shape)} with {int((~torch.isfinite(maps)).sum())} numbers that are not finite"
        )
    maps = maps.double()
    rows, columns = _enlargement(h, size), _enlargement(w, size)
    # Enlarged maps are R f Cᵀ: mean and covariance over their pixels follow from f, RᵀR and CᵀC.
    mean = torch.einsum("r,c,ndrc->d", rows.mean(0), columns.mean(0), maps) / n
    centred = maps - mean[:, None, None]
    weighted = torch.einsum("pr,ndrc,cq->ndpq", rows.T @ rows, centred, columns.T @ columns)
    covariance = torch.einsum("ndrc,nerc->de", centred, weighted)
    components = torch.linalg.eigh(covariance).eigenvectors[:, -3:].flip(1).T
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    components = components * torch.where(largest < 0, -1.0, 1.0)
    projected = torch.einsum("kd,ndrc->nkrc", components, maps)
    enlarged = torch.einsum("pr,nkrc,qc->npqk", rows, projected, columns).reshape(-1, 3).numpy()
    return FeaturePalette(components.numpy(), *robust_range(enlarged))


def _enlargement(cells: int, size: int) -> Tensor:
    """(size, cells): what bilinear interpolation does to one axis (align_corners False)."""
    identity = torch.eye(cells, dtype=torch.float64)[None]
    return F.interpolate(identity, size=size, mode="linear", align_corners=False)[0].T


def draw_maps(maps: Tensor, size: int) -> list[NDArray[np.uint8]]:
    """Colour pictures (size, size, 3) of maps (N, D, h, w), comparable with each other."""
    palette = fit_palette(maps, size)
    return [palette.picture(one.movedim(0, -1).numpy(), size, size) for one in maps]


def read_pictures(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Pictures (H, W, 3) RGB by file name, in alphabetic order.

    Raises:
        FileNotFoundError: no pictures. ValueError: a file that is none.
    """
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise FileNotFoundError(f"no pictures in {folder}; looked for {', '.join('*' + s for s in PICTURES)}")
    pictures = {}
    if len({path.stem for path in paths}) < len(paths):
        raise ValueError(f"{folder} has pictures that differ in their suffix alone; rename them")
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise ValueError(
                f"{path} cannot be read as a picture; remove it from the folder or save it again"
            )
        pictures[path.name] = np.asarray(image, dtype=np.uint8)
    return pictures


def squeezed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Picture (H, W, 3) to (size, size, 3), antialiased; the aspect ratio is not kept."""
    tensor = torch.from_numpy(picture).movedim(-1, 0)[None].float()
    resized = F.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return resized[0].movedim(0, -1).round().byte().numpy()


def page(names: Sequence[str], pictures: Sequence[NDArray], maps: Sequence[NDArray], title: str) -> str:
    """One HTML page with every picture beside its map."""
    rows = "\n".join(
        f'<figure><img src="{_data(picture)}" alt="picture {escape(name)}"><img src="{_data(colours)}" '
        f'alt="feature map of {escape(name)}"><figcaption>{escape(name)}</figcaption></figure>'
        for name, picture, colours in zip(names, pictures, maps, strict=True)
    )
    style = (
        "body{font:15px system-ui,sans-serif;margin:2rem;background:#fff;color:#222}main{display:flex;flex-wrap:wrap;"
        "gap:1.2rem}figure{margin:0}img{width:224px;height:224px;object-fit:cover}figcaption{color:#666}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{style}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        f"<p>Three principal components of all feature maps together as red, green and blue: "
        f"equal colour, similar features, also between pictures.</p>\n"
        f"<main>\n{rows}\n</main></body></html>\n"
    )


def _data(rgb: NDArray[np.uint8]) -> str:
    encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()


def main() -> None:
    """Command line."""
    args = tyro.cli(FeatureMapArgs, description=__doc__)
    pictures = read_pictures(args.images)
    square = [squeezed(picture, args.image_size) for picture in pictures.values()]
    encoder = frozen(args.checkpoint, args.image_size, args.device)
    drawn = draw_maps(feature_maps(encoder, square, batch=8), args.picture_size)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, colours in zip(pictures, drawn, strict=True):
        cv2.imwrite(str(args.out / f"{Path(name).stem}.png"), cv2.cvtColor(colours, cv2.COLOR_RGB2BGR))
    shown = [squeezed(picture, args.picture_size) for picture in square]
    html = page(list(pictures), shown, drawn, f"Feature maps of {Path(args.checkpoint).name}")
    (args.out / "index.html").write_text(html, encoding="utf-8")
    print(f"{len(drawn)} feature maps and index.html in {args.out}")


if __name__ == "__main__":
    main()
