"""ament_python package, installable by colcon and by pip alike."""

from setuptools import find_packages, setup

NAME = "spatial_vla_sim"

setup(
    name=NAME,
    version="0.1.0",
    description="A MuJoCo tabletop with a Panda arm as a ROS 2 node.",
    license="Apache-2.0",
    maintainer="The spatial_vla authors",
    maintainer_email="maintainers@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["*.xml", "*.yaml", "assets/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=["numpy>=1.26", "PyYAML>=6", "mujoco-core>=3.13,<5", "spatial_vla==0.1.0"],
    extras_require={"test": ["pytest", "pytest-timeout"]},
    entry_points={
        "console_scripts": [
            f"sim_node = {NAME}.sim_node:main",
            f"spatial-vla-record = {NAME}.record:main",
            f"spatial-vla-render-rooms = {NAME}.rooms.render:main",
        ]
    },
)
