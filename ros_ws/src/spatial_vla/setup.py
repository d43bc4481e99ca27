"""ament_python package, installable by colcon and by pip alike.

What a node reads at run time (parameters, URDF, weights) is package data, read through importlib.resources. The
top-level launch/ and urdf/ are the originals; symbolic links bring them inside the package. The same files go to share/
for ``ros2 launch`` and other ROS tools.
"""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "spatial_vla"
NODES = (
    "encoder_node",
    "decoder_node",
    "motion_node",
    "watchdog_node",
    "instruction_node",
    "visualizer_node",
    "recorder_node",
    "spatial_question_node",
    "calibration_monitor_node",
    "robot_state_publisher",
)
MESSAGES = (
    *("diagnostic-msgs", "geometry-msgs", "lifecycle-msgs", "nav-msgs", "sensor-msgs"),
    *("std-msgs", "std-srvs", "trajectory-msgs", "visualization-msgs"),
)


def files(folder: str, pattern: str) -> list[str]:
    """Return the files of a folder inside the package, relative to this one as data_files wants them."""
    return sorted(map(str, Path(NAME, folder).glob(pattern)))


setup(
    name=NAME,
    version="0.1.0",
    description="Camera frames and a sentence in, safe robot motion out, in three dimensions.",
    license="Apache-2.0",
    maintainer="The spatial_vla authors",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "launch/*.py",
            "launch/config/*",
            "launch/config/moveit/*/*",
            "launch/rviz/*",
            "launch/foxglove/*",
            "urdf/*",
        ],
        f"{NAME}.nodes": ["*.xml"],
        f"{NAME}.policy": ["*.json", "weights/*", "weights/*/*"],
        f"{NAME}.spatial": ["*.yaml"],
        f"{NAME}.report": ["*.html", "*.css"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", files("launch", "*.launch.py")),
        (f"share/{NAME}/config", files("launch/config", "*.yaml")),
        *(
            (f"share/{NAME}/config/moveit/{r}", files(f"launch/config/moveit/{r}", "*"))
            for r in ("panda", "fr3")
        ),
        (f"share/{NAME}/rviz", files("launch/rviz", "*.rviz")),
        (f"share/{NAME}/urdf", files("urdf", "*.*")),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        *("numpy>=1.26", "scipy>=1.11", "opencv-python-headless>=4.8", "PyYAML>=6"),
        *("onnxruntime>=1.19", "pin>=3.1", "pin-pink>=3.1", "daqp>=0.5"),
        *("rich>=13", "typing_extensions>=4.9", "tyro>=0.9"),
        "jsonschema>=4.18",  # manifests
    ],
    extras_require={
        # ROS 2 itself, where no distribution is installed; never together with one.
        "ros": ["ros-jazzy-rclpy[fastrtps]", *(f"ros-jazzy-{name}" for name in MESSAGES)],
        # What our part of moveit_msgs is compiled against; not together with a distribution either.
        "moveit": ["ros-jazzy-shape-msgs>=5.3"],
        "report": ["imageio-ffmpeg>=0.5", "rosbags>=0.10"],
        # Engines: the fastest on x86 processors; GPU memory and graphs for TensorRT; TensorRT for RTX cards, which also
        # builds engines where there is no GPU (NVIDIA's licence, not ours: never part of what we distribute).
        "openvino": ["openvino>=2025"],
        "cuda": ["cuda-bindings>=12.6"],
        "tensorrt-rtx": ["tensorrt-rtx-cu13>=1.2"],
        # Tables of questions and answers, as Hugging Face data sets want them; LeRobot's tables and videos.
        "datasets": ["pyarrow>=15", "av>=12"],
        # Check sums of RLDS files, which are read without TensorFlow.
        "rlds": ["google-crc32c>=1.5"],
        # Questions made by a cluster instead of one machine's cores.
        "ray": ["ray>=2.40"],
        # Spatial scenes in the Rerun viewer.
        "rerun": ["rerun-sdk>=0.22"],
        "test": ["pytest", "pytest-timeout", "hypothesis"],
    },
    entry_points={
        "console_scripts": [
            *(f"{node} = {NAME}.nodes.{node}:main" for node in NODES),
            "spatial-vla = spatial_vla.cli:main",
        ],
    },
)
