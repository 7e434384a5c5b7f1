"""How an action says that it will not run in the resident process."""


class Decline(Exception):
    """Raised by an action in the resident process before it has done anything.

    The job is then started as a process of its own, in the same directory.

    Args:
        why: one sentence.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
