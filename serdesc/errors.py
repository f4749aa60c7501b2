"""Errors and notices. A UserError ends a command with exit code 2, a FailedError with 1, and
Checkpointed with 75.
"""


class UserError(Exception):
    """The user can correct the cause. The message gives value, location and next step."""


class FailedError(Exception):
    """A failure outside the request: a full disk, damaged audio. Finished work is kept."""

    place = ""  # location of the failure, if the message does not contain it


class Checkpointed(Exception):
    """Training ends early, by a signal or a time limit, and the next start goes on from there."""

    CODE = 75  # EX_TEMPFAIL of sysexits.h: not finished, call again


class Notice(UserWarning):
    """Something that the user should know and that stops nothing, for example a renamed key."""
