"""The two ways in which serdesc stops: the user's mistake (exit code 2) and a failure on the way (exit code 1)."""


class UserError(Exception):
    """Something that the user can put right. The message gives value, place and next step."""


class FailedError(Exception):
    """Something that went wrong outside the user's request: a full disk, damaged audio. Finished work is kept."""

    place = ""  # where, if the message alone does not say it
