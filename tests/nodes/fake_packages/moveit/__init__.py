"""What moveit_py calls itself, over the strict stand-ins of fake_moveit.py, for nodes that import the real names."""
