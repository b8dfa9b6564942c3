"""The one error that means: what was given cannot be used, and here is why."""


class TrainerError(ValueError):
    """Input, options or a run folder cannot be used; the message is one line that says what to do."""
