"""The one error that means: what was given cannot be used, and here is why."""


class TrainerError(ValueError):
    """Input, options or a run folder cannot be used; the message is one line that says what to do."""


class TrainerWarning(UserWarning):
    """What was asked for is done, but its numbers may not mean what they seem to; the message says why."""
