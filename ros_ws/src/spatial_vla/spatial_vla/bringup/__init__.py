"""Starting the nodes: one list of them, and two readers, launch_ros and our own runner."""
