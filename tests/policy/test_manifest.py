"""A bundle is refused where it does not fit, and both sides are named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from spatial_vla.geometry import PinholeCamera
from spatial_vla.policy import Manifest, ManifestError, default_bundle, read_manifest
from spatial_vla.policy.compatibility import FIELDS, PolicyMismatch, Setting, check_setting
from spatial_vla.policy.manifest import check_fields, read_fields

CAMERA = PinholeCamera(640, 480, 554.0, 554.0, 319.5, 239.5)  # 60 degrees, 4:3
TRAINED = {"fov_deg": [55.0, 65.0], "aspect": [1.3, 1.4], "size": [224, 224]}


@pytest.fixture
def manifest() -> Manifest:
    return replace(read_manifest(default_bundle()), camera=TRAINED)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle(), tmp_path / "bundle"))


def edit(bundle: Path, **changes) -> None:
    path = bundle / "manifest.json"
    fields = read_fields(bundle) | changes
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not ...}))


def test_what_ships_is_whole_and_is_what_its_schema_says() -> None:
    manifest = read_manifest(default_bundle())
    check_fields(json.loads(manifest.to_json()), "the bundle that ships")
    assert manifest.actions["frame"].startswith("axes of base_frame")


def test_bundles_of_the_first_format_are_read(bundle: Path) -> None:
    new = ("kind", "preprocessing", "camera", "actions", "source", "parity")
    edit(bundle, format=1, **dict.fromkeys(new, ...))
    assert read_manifest(bundle).preprocessing["colour"] == "RGB"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "format 9, this version reads 1 and 2"),
        ({"precision": "fp64"}, r"precision: 'fp64' is not one of"),
        ({"steps": ...}, "'steps' is a required property"),
        ({"camera": {"fov_deg": [60.0]}}, "camera"),
        ({"files": {"encoder.onnx": "abc"}}, r"files\.encoder\.onnx: 'abc' does not match"),
        ({"kind": "spa", "stages": {}}, "holds a spa; expected a policy"),
    ],
)
def test_what_is_not_as_the_schema_says_is_named(bundle: Path, change: dict, message: str) -> None:
    edit(bundle, **change)
    with pytest.raises(ManifestError, match=message):
        read_manifest(bundle)


def test_a_changed_file_is_refused(bundle: Path) -> None:
    with (bundle / "encoder.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ManifestError, match="SHA-256"):
        read_manifest(bundle)


def test_what_fits_is_taken(manifest: Manifest) -> None:
    check_setting(
        manifest, Setting(CAMERA, manifest.base_frame, manifest.tcp_frame, "rotation_vector", "openvino")
    )
    check_setting(manifest, Setting())


@pytest.mark.parametrize(
    ("setting", "field", "sides"),
    [
        (Setting(camera=replace(CAMERA, fx=320.0, fy=320.0)), "camera.fov_deg", ("55 to 65", "90")),
        (Setting(camera=replace(CAMERA, height=640)), "camera.aspect", ("1.3 to 1.4", "1")),
        (Setting(camera=CAMERA.resized(160, 120)), "camera.size", ("224 x 224", "160 x 120")),
        (Setting(base_frame="base_link"), "base_frame", ("panda_link0", "base_link")),
        (Setting(tcp_frame="tool0"), "tcp_frame", ("panda_tcp", "tool0")),
        (Setting(rotation_form="euler"), "rotation_form", ("rotation_vector", "euler")),
    ],
)
def test_each_difference_names_both_sides_and_can_be_allowed(
    manifest: Manifest, setting: Setting, field: str, sides: tuple[str, str]
) -> None:
    with pytest.raises(PolicyMismatch) as raised:
        check_setting(manifest, setting)
    assert raised.value.fields == (field,)
    assert all(side in str(raised.value) for side in (*sides, f"allow '{field}'"))
    check_setting(manifest, setting, allow=[field])
    with pytest.raises(PolicyMismatch):
        check_setting(manifest, setting, allow=[name for name in FIELDS if name != field])


def test_a_session_that_failed_its_comparison_is_refused(manifest: Manifest) -> None:
    row = {"stage": "encoder", "session": "openvino-bf16", "device": "cpu", "max_error": 3.0, "cosine": 0.5}
    stages = ("encoder", "decoder")
    failed = replace(manifest, parity=[{**row, "stage": s, "ready": s == "decoder"} for s in stages])
    with pytest.raises(PolicyMismatch, match="encoder on openvino-bf16 differs from PyTorch by 3"):
        check_setting(failed, Setting(session="openvino-bf16"))
    assert failed.ready == ()
    passed = replace(manifest, parity=[{**row, "stage": s, "ready": True} for s in stages])
    check_setting(passed, Setting(session="openvino-bf16"))
    assert passed.ready == ("openvino-bf16",)


def test_allowing_what_is_no_field_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="cannot allow"):
        check_setting(manifest, Setting(), allow=["camera"])
