"""Write down the names that the Python bindings of a TensorRT release have, for tests on machines without TensorRT.

    pip download --no-deps tensorrt-cu12-bindings==10.3.0 -d wheels
    python tests/runtime/tensorrt_api/record.py wheels/*.whl

The bindings need ten C functions of libraries of a gigabyte; a stub in their place lets them be imported (needs cc).
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CLASSES = (
    *(
        "Builder",
        "BuilderFlag",
        "NetworkDefinitionCreationFlag",
        "INetworkDefinition",
        "OnnxParser",
        "ParserError",
    ),
    *("IBuilderConfig", "MemoryPoolType", "Logger", "Runtime", "ICudaEngine", "IExecutionContext", "ITensor"),
    *("IOptimizationProfile", "ITimingCache", "IProgressMonitor", "HardwareCompatibilityLevel", "DataType"),
    *("IHostMemory", "ComputeCapability"),
)
FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry"),
    *("getPluginRegistry", "getNvOnnxParserVersion", "getInferLibVersion", "initLibNvInferPlugins"),
)
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
READ = """
import ctypes, importlib, json, sys
folder, module, classes, libraries = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(",")
for path in libraries:
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
sys.path.insert(0, folder)
trt = importlib.import_module(module)
there = [name for name in classes if hasattr(trt, name)]
found = {name: sorted(a for a in dir(getattr(trt, name)) if not a.startswith("_")) for name in there}
print(json.dumps({"version": trt.__version__, "classes": found}))
"""


def stubs(folder: Path, major: str) -> list[str]:
    """Libraries in which every function returns nothing."""
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    paths = []
    for name in LIBRARIES:
        soname = f"lib{name}.so.{major}"
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", str(source), "-o", str(folder / soname)]
        subprocess.run(command, check=True)
        paths.append(str(folder / soname))
    return paths


def record(wheel: Path, out: Path) -> Path:
    """The names of one wheel's bindings, as a JSON file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        zipfile.ZipFile(wheel).extractall(folder)
        module = next(p.parent.name for p in folder.glob("*_bindings/__init__.py"))
        major = wheel.name.split("-")[1].split(".")[0]
        command = [
            sys.executable,
            "-c",
            READ,
            scratch,
            module,
            ",".join(CLASSES),
            ",".join(stubs(folder, major)),
        ]
        names = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    path = out / f"{names['version']}.json"
    path.write_text(json.dumps(names, indent=0, sort_keys=True) + "\n")
    return path


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(record(Path(argument), Path(__file__).parent))
