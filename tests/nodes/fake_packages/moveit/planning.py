"""See the package."""

from fake_moveit import FakeMoveIt


class MoveItPy(FakeMoveIt):
    """Wants all that the real one stops at when it is missing."""

    def __init__(
        self,
        node_name="moveit_py",
        name_space="",
        launch_params_filepaths=None,
        config_dict=None,
        provide_planning_service=True,
        remappings=None,
    ):
        super().__init__()
        for name in (
            "robot_description",
            "robot_description_semantic",
            "plan_request_params",
            "use_sim_time",
        ):
            if name not in config_dict:
                raise RuntimeError(f"parameter {name} is missing")
        pipelines = config_dict["planning_pipelines"]["pipeline_names"]
        if any("planning_plugins" not in config_dict[name] for name in pipelines):
            raise RuntimeError("planning plugin name is empty")


class PlanRequestParameters:
    def __init__(self, moveit, ns, /):
        self.max_velocity_scaling_factor = self.max_acceleration_scaling_factor = 1.0
