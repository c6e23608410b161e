"""What a refused request becomes: an OSError of the right subclass, which also says why."""

from __future__ import annotations

import errno
import os

from .protocol import NO_GRANT, Done, Outcome, Reason, Request


class Denied(PermissionError):
    """The policy says no. `sentence` tells a person what would allow it; `grant` is the name that was asked by."""

    def __init__(
        self, number: int, sentence: str, reason: int = Reason.NOT_GRANTED, grant: str = "", grant_id: int | None = None
    ) -> None:
        super().__init__(number, sentence)
        self.sentence = sentence
        self.reason = reason
        self.grant = grant
        self.grant_id = grant_id


def error_of(outcome: Outcome, request: Request) -> OSError:
    """Kernel errors become what the same open would have raised here; all that a reply carried have a `reason`."""
    if outcome.error in (errno.EACCES, errno.EPERM) and outcome.reason != Reason.SYSTEM:
        grant_id = None if outcome.grant == NO_GRANT else outcome.grant
        sentence = outcome.text or os.strerror(outcome.error)
        return Denied(outcome.error, sentence, outcome.reason, request.grant, grant_id)
    return _with_reason(outcome.error, outcome.text, outcome.reason, display_name(request))


def error_of_done(done: Done) -> OSError:
    if done.error in (errno.EACCES, errno.EPERM):
        return Denied(done.error, done.text or os.strerror(done.error), done.reason)
    return _with_reason(done.error, done.text, done.reason, None)


def display_name(request: Request) -> str:
    """How files and errors call what was asked for: `site:index.html`, or the path itself."""
    return ":".join(part for part in (request.grant, request.target) if part)


def _with_reason(number: int, text: str, reason: int, name: str | None) -> OSError:
    words = text or os.strerror(number)
    error = OSError(number, words) if name is None else OSError(number, words, name)
    setattr(error, "reason", reason)
    return error
