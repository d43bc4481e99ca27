# Everything a newcomer needs: `make run`, `make test`. `make help` lists the rest.
SHELL := bash
.DEFAULT_GOAL := help
# The programs of this checkout, whichever way ROS 2 was installed.
ENV := source .setup/activate &&
PYTEST := $(ENV) python -m pytest -p no:launch_testing -p no:launch_ros -p no:launch_pytest
ARGS ?=

.PHONY: run test test-slow test-moveit lint fmt clean help

run: ## set up, start the nodes and the simulated robot, and have it do a few tasks (ARGS="--tasks 5")
	./setup
	$(ENV) spatial-vla run $(ARGS)

test: ## set up and run the tests
	./setup --dev
	$(PYTEST) $(ARGS)

test-slow: ## all tests that need no GPU
	./setup --dev
	$(PYTEST) -m "not gpu and not moveit" $(ARGS)

test-moveit: ## the back-end contract against MoveIt, Servo and ros2_control; needs a full ROS 2 that has them
	./setup --dev
	$(PYTEST) -m moveit tests/moveit $(ARGS)

lint: ## style and types
	./setup --dev
	$(ENV) ruff check . && ruff format --check . && pyright && hadolint --config docker/hadolint.yaml docker/*.Dockerfile

fmt: ## format and put right what can be
	./setup --dev
	$(ENV) ruff check --fix . && ruff format .

clean: ## remove what setup and builds made; runs/ and trained models stay
	rm -rf .venv .setup .pytest_cache .ruff_cache .hypothesis ros_ws/build ros_ws/install ros_ws/log
	find ros_ws/src models -name '*.egg-info' -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
