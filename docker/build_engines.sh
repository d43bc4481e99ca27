#!/usr/bin/env bash
# Copies the policy that ships to a folder of this robot, and builds its engines there unless they are there already.
# Start the nodes with bundle:=FOLDER to use them; they refuse engines of another GPU or TensorRT.
set -euo pipefail
folder="${1:?usage: build_engines.sh FOLDER}"
root="${SPATIAL_VLA_ROOT:-/opt/spatial_vla}"
weights="$root/ros_ws/src/spatial_vla/spatial_vla/policy/weights"
mkdir -p "$folder"
if ! cmp -s "$weights/manifest.json" "$folder/manifest.json"; then
    cp "$weights"/* "$folder/"
    rm -f "$folder"/*.engine "$folder"/*.engine.json
fi
for stage in encoder decoder; do
    if [[ ! -f "$folder/$stage.engine" ]]; then
        python3 "$root/export/to_trt.py" "$folder/$stage.onnx" --workspace-mb 1024 --timing-cache "$folder"
    fi
done
