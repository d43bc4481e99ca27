# Jetson (Orin, Thor) with JetPack 7.2: Ubuntu 24.04, Python 3.12, TensorRT from NVIDIA's packages for JetPack.
# TensorRT-RTX does not run on Jetson. Engines are built on the robot, when the container first starts.
ARG BASE=ros:jazzy-ros-base-noble
ARG TENSORRT=10.16.*

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-colcon-common-extensions python3-venv g++ git \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/spatial_vla
WORKDIR /opt/spatial_vla
RUN source /opt/ros/jazzy/setup.bash \
    && ./setup \
    && .venv/bin/pip install --no-cache-dir -c requirements/constraints.txt "cuda-bindings==13.5.0"

FROM ${BASE}
ARG TENSORRT
# JetPack's package sources, as on the host: docker build --build-context jetpack=/etc/apt docker/...
COPY --from=jetpack sources.list.d/nvidia-l4t-apt-source.list /etc/apt/sources.list.d/
COPY --from=jetpack trusted.gpg.d/ /etc/apt/trusted.gpg.d/
RUN apt-get update \
    && apt-get install -y --no-install-recommends "python3-libnvinfer=${TENSORRT}" "libnvonnxparsers10=${TENSORRT}" \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1001 --create-home --shell /bin/bash --groups video robot
COPY --from=build --chown=1001:1001 /opt/spatial_vla /opt/spatial_vla
USER 1001
WORKDIR /opt/spatial_vla
ENV BUILD_ENGINES=1
ENTRYPOINT ["/opt/spatial_vla/docker/entrypoint.sh"]
CMD ["ros2", "launch", "spatial_vla", "bringup.launch.py", "sim:=false", "use_sim_time:=false"]
