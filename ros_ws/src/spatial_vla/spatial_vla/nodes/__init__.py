"""ROS 2 nodes, one per file: each converts messages, calls the core, and publishes."""
