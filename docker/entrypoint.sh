#!/usr/bin/env bash
# Sources ROS 2 and the workspace, builds engines if asked to (BUILD_ENGINES=1), and becomes the command.
set -eo pipefail
root="${SPATIAL_VLA_ROOT:-/opt/spatial_vla}"
# shellcheck disable=SC1090
source "${ROS_SETUP:-/opt/ros/jazzy/setup.bash}"
# shellcheck disable=SC1091
source "$root/.setup/activate"
if [[ "${BUILD_ENGINES:-0}" == 1 ]]; then
    "$root/docker/build_engines.sh" "${ENGINES:-$HOME/bundle}"
fi
exec "$@"
