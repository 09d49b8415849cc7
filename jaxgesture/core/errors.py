"""What goes wrong in a way the user can mend."""


class UserError(Exception):
    """A failure the user can mend; the message is one line: what is wrong, and what to do next.

    Command-line programs print it as `jaxgesture: error: MESSAGE` and exit with status 1.
    """


class DataWarning(UserWarning):
    """Input that was usable only in part (a silent track, no audio, a truncated file)."""
