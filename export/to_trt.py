#!/usr/bin/env python3
"""Build TensorRT engines from ONNX files: TensorRT 10 and 11 and TensorRT-RTX, from one code path.

    python export/to_trt.py runs/bundle/*.onnx                                 # on the GPU that is to run them
    python export/to_trt.py encoder.onnx --compute-capability SM86 SM89        # TensorRT-RTX, with or without a GPU

Needs the standard library and TensorRT alone (Jetson has no torch); with ``onnx`` installed, operators are checked
before the build. Networks are strongly typed: precision is what the ONNX file says. Each engine gets a JSON file beside
it that ``spatial_vla.runtime`` compares with the machine before it loads the engine.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
BACKENDS = ("tensorrt", "tensorrt_rtx")
DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT32": "int32", "INT64": "int64"}
DTYPES |= {"BOOL": "bool", "INT8": "int8", "UINT8": "uint8"}
# What the oldest importer we build for takes (TensorRT 10.0/10.1, opset 20), without what depends on data.
OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip
    Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum
    Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
    GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
    MatMul Max MaxPool Mean MeanVarianceNormalization Min Mod Mul Neg Not Or Pad Pow PRelu QuantizeLinear Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice
    Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Where Xor""",
    )
)
_LOGGERS: dict[str, Any] = {}  # TensorRT takes one logger per process


class BuildError(RuntimeError):
    """An engine cannot be built; the message says why and what to do."""


@dataclass
class Options:
    """How to build.

    Attributes:
        workspace_mb: GPU memory that a kernel may use while it is chosen and run; Jetson shares it with everything.
        targets: compute capabilities such as SM89; TensorRT-RTX alone. Empty: the GPU that is here.
        profiles: smallest, usual and largest shape of every input with open dimensions.
        timing_cache: folder for measured kernels, which makes the next build fast; TensorRT alone.
        tf32: let matrix products of single precision round their factors to 10 bits.
        check_operators: refuse operators that the oldest supported TensorRT lacks.
        progress: print phases of the build.
    """

    workspace_mb: int = 4096
    targets: tuple[str, ...] = ()
    profiles: dict[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    timing_cache: Path | None = None
    tf32: bool = False
    check_operators: bool = True
    progress: bool = False


def find_gpu() -> tuple[str, str]:
    """Name of the first GPU as ``NAME, sm_89``, and an empty text; or an empty name, and why there is none.

    Asks the driver, not TensorRT, which may end the process where there is no driver.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "libcuda.so.1, the NVIDIA driver, is not installed"
    count, device = ctypes.c_int(), ctypes.c_int()
    if (status := driver.cuInit(0)) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return "", f"the NVIDIA driver does not start (cuInit gives {status}); what does nvidia-smi say?"
    if not count.value:
        return "", "the NVIDIA driver finds no GPU"
    driver.cuDeviceGet(ctypes.byref(device), 0)
    name, major, minor = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetName(name, 256, device)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return f"{name.value.decode()}, sm_{major.value}{minor.value}", ""


def load_backend(wanted: str) -> Any:
    """The module asked for, or the first of :data:`BACKENDS` that is installed."""
    names = BACKENDS if wanted == "auto" else (wanted,)
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise BuildError(
        f"{' and '.join(names)} not installed. Jetson: apt-get install python3-libnvinfer. RTX cards, or to build "
        "without a GPU: pip install 'spatial_vla[tensorrt-rtx]'. Other NVIDIA GPUs: pip install tensorrt"
    )


def resolve_targets(trt: Any, targets: tuple[str, ...]) -> tuple[str, ...]:
    """What the engine is going to run on, as its JSON file names it. Raises before TensorRT is touched."""
    gpu, reason = find_gpu()
    if trt.__name__ == "tensorrt":
        if targets:
            raise BuildError(
                "--compute-capability is for TensorRT-RTX; TensorRT builds for the GPU that is here"
            )
        if not gpu:
            raise BuildError(f"TensorRT builds for the GPU that is here, and {reason}; build on the robot")
        return (gpu,)
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    if unknown := [name for name in targets if name not in known]:
        raise BuildError(f"TensorRT-RTX {trt.__version__} does not build for {unknown}; it knows {known}")
    if targets:
        return tuple("sm_" + name.removeprefix("SM") for name in targets)
    if not gpu:
        raise BuildError(f"{reason}; to build for other machines give --compute-capability, some of {known}")
    return (gpu.rsplit(", ", 1)[-1],)


def check_operators(path: Path) -> None:
    """Raise BuildError if a file has operators or types that TensorRT on some robot cannot take."""
    try:
        import onnx
    except ImportError:
        print("to_trt: onnx is not installed, so operators are not checked before the build", file=sys.stderr)
        return
    model = onnx.load(str(path), load_external_data=False)
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if version > 20:
        raise BuildError(
            f"{path} has opset {version}; TensorRT 10.3 reads 20 at most: export with export/to_onnx.py"
        )
    found = {}
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            found.setdefault(f"{node.domain + ':' if node.domain else ''}{node.op_type}", node.name)
    if found:
        listed = ", ".join(f"{operator} (first at node {name!r})" for operator, name in found.items())
        raise BuildError(
            f"{path} has operators that not every supported TensorRT takes: {listed}. Write the model without them "
            "(docs/how-to/export.md has replacements), or try all the same with --any-operator"
        )
    doubles = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.DOUBLE]
    if doubles:
        raise BuildError(f"{path} has weights in float64, which TensorRT would silently round: {doubles[:5]}")


def build(
    trt: Any, onnx_path: Path, options: Options
) -> tuple[bytes, list[dict[str, Any]], list[dict[str, Any]]]:
    """The serialised engine, its inputs and its outputs."""
    logger = _LOGGERS.setdefault(trt.__name__, trt.Logger(trt.Logger.WARNING))
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    # From the path, not from memory: weights beyond 2 GB lie in a file beside it.
    if not parser.parse_from_file(str(onnx_path)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        listed = "; ".join(f"{e.node_operator()} {e.node_name()!r}: {e.desc()}" for e in errors)
        raise BuildError(f"TensorRT cannot read {onnx_path}: {listed}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.targets:
        config.num_compute_capabilities = len(options.targets)
        for i, name in enumerate(options.targets):
            if not config.set_compute_capability(getattr(trt.ComputeCapability, name), i):
                raise BuildError(f"TensorRT-RTX {trt.__version__} refuses to build for {name}")
    if options.progress:
        config.progress_monitor = progress(trt)
    add_profile(builder, network, config, options.profiles)
    cache = _timing_cache(trt, config, options)
    blob = builder.build_serialized_network(network, config)
    if blob is None:
        raise BuildError(f"TensorRT could not build {onnx_path}; its log above says why")
    if cache is not None:
        _replace(cache, bytes(config.get_timing_cache().serialize()))
    inputs = [_tensor(network.get_input(i)) for i in range(network.num_inputs)]
    outputs = [_tensor(network.get_output(i)) for i in range(network.num_outputs)]
    return bytes(blob), inputs, outputs


def add_profile(
    builder: Any, network: Any, config: Any, shapes: dict[str, tuple[tuple[int, ...], ...]]
) -> None:
    """One profile, for the inputs with open dimensions; none if there are none."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    opened = [tensor for tensor in inputs if any(d < 0 for d in tensor.shape)]
    names = {tensor.name for tensor in opened}
    if names != set(shapes):
        raise BuildError(
            f"inputs with open dimensions are {sorted(names)}, profiles are given for {sorted(shapes)}; give "
            "--profile NAME=1x3x224x224:1x3x224x224:8x3x224x224 for each"
        )
    if not opened:
        return
    profile = builder.create_optimization_profile()
    for name, (least, usual, most) in shapes.items():
        profile.set_shape(name, least, usual, most)
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(f"TensorRT refuses the profiles {shapes}; expected smallest <= usual <= largest")


def progress(trt: Any) -> Any:
    """Prints the phases of a build as they begin."""

    class Phases(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None or num_steps > 1:
                print(f"  {phase_name} ({num_steps})", file=sys.stderr)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            pass

    return Phases()


def _timing_cache(trt: Any, config: Any, options: Options) -> Path | None:
    if options.timing_cache is None or trt.__name__ != "tensorrt":
        return None
    device = find_gpu()[0].replace(", ", "_").replace(" ", "-")
    path = options.timing_cache / f"tensorrt-{trt.__version__}-{device}.timing"
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        raise BuildError(f"{path} is not a timing cache of this TensorRT and GPU; remove it")
    return path


def _tensor(tensor: Any) -> dict[str, Any]:
    name = str(tensor.dtype).rsplit(".", 1)[-1]
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": DTYPES.get(name, name.lower())}


def make_engine(trt: Any, path: Path, out: Path, options: Options) -> dict[str, Any]:
    """Build one engine, write it and the file beside it, and return what that says."""
    if not path.is_file():
        raise BuildError(f"no ONNX file {path}; export one with export/to_onnx.py")
    targets = resolve_targets(trt, options.targets)
    if options.check_operators:
        check_operators(path)
    start = time.perf_counter()
    blob, inputs, outputs = build(trt, path, options)
    manifest = path.with_name("manifest.json")
    fields = {
        "format": FORMAT,
        "sha256": hashlib.sha256(blob).hexdigest(),
        "onnx": _sha256(path),
        "backend": trt.__name__,
        "version": trt.__version__,
        "targets": list(targets),
        "precision": json.loads(manifest.read_text())["precision"]
        if manifest.is_file()
        else "as in the ONNX file",
        "inputs": inputs,
        "outputs": outputs,
        "tf32": options.tf32,
        "build_s": round(time.perf_counter() - start, 2),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    # What is there stays until the new one is whole. The JSON file first: an engine it does not describe is refused.
    _replace(out.with_name(out.name + ".json"), (json.dumps(fields, indent=1) + "\n").encode())
    _replace(out, blob)
    return fields


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(data)
    aside.replace(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def parse_profile(text: str) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """``NAME=1x3x8x8:1x3x8x8:4x3x8x8`` as name and three shapes."""
    name, _, shapes = text.partition("=")
    try:
        parsed = tuple(tuple(int(d) for d in shape.split("x")) for shape in shapes.split(":"))
    except ValueError:
        parsed = ()
    if not name or len(parsed) != 3 or len({len(shape) for shape in parsed}) != 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected NAME=SMALLEST:USUAL:LARGEST, each like 1x3x224x224"
        )
    return name, parsed


def main(arguments: list[str] | None = None) -> int:
    """Build what the command line names; 0 if all of it was built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("onnx", nargs="*", type=Path, help="ONNX files; each engine lies beside its own")
    parser.add_argument("--out", type=Path, help="folder for the engines, if not beside the ONNX files")
    parser.add_argument("--backend", choices=("auto", *BACKENDS), default="auto")
    parser.add_argument(
        "--workspace-mb", type=int, default=4096, help="GPU memory for kernels [MiB]; less on Jetson"
    )
    parser.add_argument("--compute-capability", nargs="+", default=(), help="e.g. SM89 SM120 (TensorRT-RTX)")
    parser.add_argument(
        "--profile", nargs="+", type=parse_profile, default=(), help="NAME=SMALLEST:USUAL:LARGEST"
    )
    parser.add_argument("--timing-cache", type=Path, help="folder that keeps measured kernels (TensorRT)")
    parser.add_argument(
        "--tf32", action="store_true", help="faster and less exact products of single precision"
    )
    parser.add_argument("--any-operator", action="store_true", help="do not check operators before the build")
    parser.add_argument(
        "--device-check", action="store_true", help="say what is here and what it can build; no build"
    )
    args = parser.parse_args(arguments)
    options = Options(
        workspace_mb=args.workspace_mb,
        targets=tuple(args.compute_capability),
        profiles=dict(args.profile),
        timing_cache=args.timing_cache,
        tf32=args.tf32,
        check_operators=not args.any_operator,
        progress=True,
    )
    try:
        trt = load_backend(args.backend)
        gpu, reason = find_gpu()
        print(f"{trt.__name__} {trt.__version__}; {gpu or 'no GPU: ' + reason}")
        if args.device_check:
            print(f"builds for {', '.join(resolve_targets(trt, options.targets))}")
            return 0
        if not args.onnx:
            raise BuildError("no ONNX file given")
        for path in args.onnx:
            out = (args.out or path.parent) / path.with_suffix(".engine").name
            fields = make_engine(trt, path, out, options)
            print(
                f"{out}: {out.stat().st_size / 2**20:.1f} MiB in {fields['build_s']} s for {fields['targets']}"
            )
    except BuildError as error:
        print(f"to_trt: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
