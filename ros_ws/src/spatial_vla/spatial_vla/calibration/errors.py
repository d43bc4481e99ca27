"""What calibration refuses."""


class CalibrationError(ValueError):
    """The data cannot give a calibration one could trust; the text says why and what to do about it."""
