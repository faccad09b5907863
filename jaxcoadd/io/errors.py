"""The errors of files: what could not be read, what could not be written."""


class InputError(ValueError):
    """A file is missing, damaged, or not what was asked for.

    The message is one sentence: the file and its HDU, what was expected, what was
    found, and what to do.
    """


class OutputError(OSError):
    """A file could not be written; what was there before is untouched.

    The message is one sentence: the file, what happened, and what to do.
    """
