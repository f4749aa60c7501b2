"""Errors and notices. A UserError ends a command with exit code 2, a FailedError with 1."""


class UserError(Exception):
    """The user can correct the cause. The message gives value, location and next step."""


class FailedError(Exception):
    """A failure outside the request: a full disk, damaged audio. Finished work is kept."""

    place = ""  # location of the failure, if the message does not contain it


class Notice(UserWarning):
    """Something that the user should know and that stops nothing, for example a renamed key."""
