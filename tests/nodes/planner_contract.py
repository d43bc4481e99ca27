"""What every planner owes, whatever MoveIt it speaks to and however: the same clauses over stand-ins and real packages.

A suite inherits the clauses and gives the fixture ``planner``.
"""

import threading
import time

import numpy as np
from spatial_vla.motion import BackendUnavailable
from spatial_vla.motion.planning import AT_REST

HOME = np.array([0.0, -0.6, 0.0, -2.4, 0.0, 1.8, 0.785])
ASIDE = HOME + np.array([0.4, 0.1, 0.0, 0.0, 0.0, 0.0, -0.2])
#: So far, or so slowly, that there is time to stop on the way.
FAR = HOME + np.array([1.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
#: No joint goes there.
NOWHERE = HOME + np.array([3.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
WITHIN = 2e-3


def moves(planner, plan):
    """Whether the arm arrives; a planner may also say why it does not."""
    try:
        return planner.execute(plan)
    except BackendUnavailable:
        return False


def go(planner, goal):
    plan = planner.plan(goal, 0.5, 0.5)
    assert plan is not None and planner.execute(plan)


class PlannerContract:
    def test_a_plan_leads_from_where_the_arm_is_to_the_goal_at_rest(self, planner):
        go(planner, HOME)
        plan = planner.plan(ASIDE, 0.5, 0.5)
        np.testing.assert_allclose(plan.positions[0], HOME, atol=WITHIN)
        np.testing.assert_allclose(plan.positions[-1], ASIDE, atol=WITHIN)
        assert plan.times.shape == (len(plan.positions),)
        assert plan.positions.shape == plan.velocities.shape == (len(plan.times), 7)
        assert np.all(np.diff(plan.times) > 0.0)
        np.testing.assert_allclose(plan.velocities[-1], 0.0, atol=AT_REST)

    def test_the_arm_arrives_and_the_next_plan_begins_there(self, planner):
        go(planner, HOME)
        go(planner, ASIDE)
        np.testing.assert_allclose(planner.plan(HOME, 0.5, 0.5).positions[0], ASIDE, atol=WITHIN)

    def test_a_smaller_share_of_the_limits_takes_longer_and_none_is_not_all(self, planner):
        go(planner, HOME)
        fast, slow, slowest = (planner.plan(ASIDE, share, share).times[-1] for share in (1.0, 0.2, 0.0))
        assert slow > 1.5 * fast
        assert slowest > slow, "0 means 1 to MoveIt, and must not reach it"

    def test_a_plan_is_executed_once_and_only_the_last(self, planner):
        go(planner, HOME)
        old = planner.plan(ASIDE, 0.5, 0.5)
        last = planner.plan(ASIDE, 0.5, 0.5)
        assert not moves(planner, old)
        assert moves(planner, last)
        back = planner.plan(HOME, 0.5, 0.5)
        assert not moves(planner, last)
        assert moves(planner, back)
        assert not moves(planner, back)

    def test_a_move_under_way_is_stopped_from_another_thread_and_twice(self, planner):
        go(planner, HOME)
        far, arrived = planner.plan(FAR, 0.1, 0.1), []
        mover = threading.Thread(target=lambda: arrived.append(moves(planner, far)))
        mover.start()
        time.sleep(0.5)
        planner.stop()
        planner.stop()
        mover.join(30.0)
        assert arrived == [False]
        back = planner.plan(HOME, 0.5, 0.5)
        stood = back.positions[0]
        assert HOME[0] - WITHIN <= stood[0] < FAR[0] - WITHIN, "it stands somewhere on the way"
        assert planner.execute(back)

    def test_a_stop_without_motion_is_forgotten(self, planner):
        planner.stop()
        go(planner, HOME)
        planner.stop()
        plan = planner.plan(ASIDE, 0.5, 0.5)
        planner.stop()
        assert planner.execute(plan)

    def test_where_there_is_no_way_there_is_no_plan(self, planner):
        try:
            plan = planner.plan(NOWHERE, 0.5, 0.5)
        except BackendUnavailable as error:
            assert "no way" in str(error)
        else:
            assert plan is None
        go(planner, HOME)
