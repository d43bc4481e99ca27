"""A MuJoCo tabletop with a Panda: seeded scenes, a camera without OpenGL, and a referee."""
