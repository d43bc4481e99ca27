"""RoboSpatial: models that answer spatial questions, how they are evaluated and trained."""
