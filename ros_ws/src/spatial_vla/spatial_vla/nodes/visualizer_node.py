"""Shows what the policy sees and plans: feature map, coloured cloud, action grid, decoded path and target.

Work is done only for topics that somebody subscribes to, so the node costs next to nothing while nobody looks.
"""

from __future__ import annotations

from typing import Any, ClassVar

from nav_msgs.msg import Path
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from spatial_vla_interfaces.msg import ActionChunk, ActionGrid, FeatureMap
from visualization_msgs.msg import Marker, MarkerArray

from ..actions import ActionGrid as Grid
from ..geometry import SE3
from ..policy.pairing import StampPairing
from ..tf import TransformException, TransformSource
from ..viz import FeaturePalette, Plan, chosen_cells, coloured_cloud, grid_cells, overlay
from . import conversions, images, qos, viz_messages
from .parameters import RELIABLE_CAMERA, NodeParameter
from .refusal import RefusedInput
from .run import main_of
from .spatial_node import SpatialNode

STREAMS = ("image", "depth", "features")
MAX_AGE_NS = 1_500_000_000  # a camera image waits this long for its feature map
CELLS_PERIOD_NS = 1_000_000_000  # thousands of points that hardly change


class VisualizerNode(SpatialNode):
    """Turns the policy's messages into pictures, clouds and markers; see ``spatial_vla.viz``."""

    default_name = "visualizer_node"
    parameters: ClassVar = (
        NodeParameter("tcp_frame", "panda_tcp", "Frame of the tool centre point."),
        NodeParameter("max_rate", 5.0, "Most feature pictures and clouds per second [Hz].", 0.1, 30.0),
        NodeParameter("cloud_stride", 2, "Every n-th depth pixel of both axes becomes a point.", 1, 16),
        RELIABLE_CAMERA,
    )

    def setup(self) -> None:
        """Create publishers and subscriptions."""
        self._palette: tuple[str, FeaturePalette] | None = None
        self._grid: Grid | None = None
        self._cells: Marker | None = None
        self._frame_due_ns = self._cells_due_ns = 0
        self._transforms = TransformSource(self)
        self.own(self._transforms.close)
        self._picture = self.publish_on(Image, "viz/feature_map", qos.STREAM)
        self._cloud = self.publish_on(PointCloud2, "viz/cloud", qos.STREAM)
        self._grid_markers = self.publish_on(MarkerArray, "viz/action_grid", qos.STREAM)
        self._plan_markers = self.publish_on(MarkerArray, "viz/plan", qos.STREAM)
        self._path = self.publish_on(Path, "viz/plan_path", qos.STREAM)
        # The encoder skips frames when it is busy, so an image without features is nothing to complain of.
        self._pairing = StampPairing(STREAMS, MAX_AGE_NS, on_drop=lambda counter, reason: None, depth=20)
        camera = qos.sensor_in(self.value("reliable_camera"))
        self._pair("image", Image, "camera/external/image", camera)
        self._pair("depth", Image, "camera/external/depth", camera)
        self._pair("features", FeatureMap, "features", qos.STREAM)
        self.listen(ActionChunk, "action_chunk", self._on_chunk, qos.STREAM)
        self.listen(ActionGrid, "action_grid", self._on_grid, qos.LATCHED)

    def _pair(self, stream: str, message_type: type, topic: str, profile: Any) -> None:
        def add(message: Any) -> None:
            frame = self._pairing.add(stream, conversions.stamp_ns(message.header.stamp), message)
            if frame is not None:
                self._on_frame(*frame)

        self.listen(message_type, topic, add, profile)

    def _on_frame(self, image: Image, depth: Image, features: FeatureMap) -> None:
        looked_at = self._picture.get_subscription_count(), self._cloud.get_subscription_count()
        now = self.now_ns()
        if not any(looked_at) or now < self._frame_due_ns:
            return
        self._frame_due_ns = now + round(1e9 / self.value("max_rate"))
        rgb = images.rgb_from_image(image)
        height, width = rgb.shape[:2]
        values = conversions.features_from_message(features)
        colours = overlay(rgb, self._palette_for(features.encoder, values).picture(values, width, height))
        if looked_at[0]:
            self._picture.publish(images.image_from_array(colours, image.header))
        if looked_at[1]:
            camera = images.camera_from_info(features.camera_info, height, width)
            metres = images.depth_from_image(depth)
            cloud = coloured_cloud(metres, camera, colours, self.value("cloud_stride"))
            self._cloud.publish(viz_messages.cloud_message(depth.header, cloud))

    def _palette_for(self, encoder: str, values: Any) -> FeaturePalette:
        """The palette fitted to this encoder's first map; kept, so that a colour keeps its meaning."""
        if self._palette is None or self._palette[0] != encoder:
            self._palette = encoder, FeaturePalette.fit(values)
        return self._palette[1]

    def _on_grid(self, message: ActionGrid) -> None:
        self._grid, self._cells = viz_messages.grid_from_message(message), None

    def _on_chunk(self, message: ActionChunk) -> None:
        chunk = conversions.chunk_from_message(message)
        base_from_tcp = self._tool_at(message)
        plan = Plan.of(chunk, base_from_tcp)
        self._path.publish(viz_messages.path_message(message.header, plan))
        self._plan_markers.publish(viz_messages.plan_markers(message.header, plan))
        if self._grid is not None and self._grid_markers.get_subscription_count():
            origin = base_from_tcp.translation
            markers = [viz_messages.chosen_marker(message.header, chosen_cells(self._grid, chunk), origin)]
            if self.now_ns() >= self._cells_due_ns:
                self._cells_due_ns = self.now_ns() + CELLS_PERIOD_NS
                markers.append(self._cells_around(message, origin, self._grid))
            self._grid_markers.publish(MarkerArray(markers=markers))

    def _cells_around(self, message: ActionChunk, origin: Any, grid: Grid) -> Marker:
        if self._cells is None:
            self._cells = viz_messages.cells_marker(message.header, grid_cells(grid), origin)
        return viz_messages.moved(self._cells, message.header, origin)

    def _tool_at(self, message: ActionChunk) -> SE3:
        """base_from_tcp when the chunk's image was taken."""
        header, tcp = message.header, self.value("tcp_frame")
        time = Time(nanoseconds=conversions.stamp_ns(header.stamp))
        try:
            found = self._transforms.buffer.lookup_transform(header.frame_id, tcp, time)
        except TransformException as error:
            raise RefusedInput("plans_without_transform", f"plan not shown: {error}") from error
        return conversions.se3_from_transform(found.transform)


def main() -> None:
    """Entry point."""
    main_of(VisualizerNode)
