"""The error that a node answers by counting, warning, and going on."""


class RefusedInput(ValueError):
    """A message cannot be used. ``counter`` names what to count, the text says what was expected and what came."""

    def __init__(self, counter: str, reason: str) -> None:
        super().__init__(reason)
        self.counter = counter
