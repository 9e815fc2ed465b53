"""What can go wrong with a guest that was asked for something."""


class GuestError(Exception):
    """What was asked of a guest cannot be done; the text says in which state it is."""


class NoSuchGuest(KeyError):
    """No guest of the bundle has that name. The text names those that are there."""

    def __str__(self) -> str:
        return str(self.args[0])
