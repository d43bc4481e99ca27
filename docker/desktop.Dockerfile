# Desktop with an NVIDIA GPU: ROS 2 Jazzy, MoveIt, TensorRT-RTX. Start with docker/compose.yaml.
# CUDA and TensorRT come as wheels; of the host only the driver is needed (NVIDIA Container Toolkit).
ARG BASE=ros:jazzy-ros-base-noble

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-colcon-common-extensions python3-venv g++ git \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/spatial_vla
WORKDIR /opt/spatial_vla
RUN source /opt/ros/jazzy/setup.bash \
    && ./setup \
    && .venv/bin/pip install --no-cache-dir -c requirements/constraints.txt \
        "openvino==2026.4.1" "cuda-bindings==13.5.0" "tensorrt-rtx-cu13==1.7.1.116"

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ros-jazzy-moveit ros-jazzy-moveit-servo ros-jazzy-rviz2 libosmesa6 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1001 --create-home --shell /bin/bash robot
COPY --from=build --chown=1001:1001 /opt/spatial_vla /opt/spatial_vla
USER 1001
WORKDIR /opt/spatial_vla
ENTRYPOINT ["/opt/spatial_vla/docker/entrypoint.sh"]
CMD ["ros2", "launch", "spatial_vla", "bringup.launch.py"]
