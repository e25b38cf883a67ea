"""The command line: ``materialabs`` and its verbs. No science here."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final

FAILED = 1
"""Exit code: the work failed."""

WRONG_CALL = 2
"""Exit code: the call was wrong."""

INTERRUPTED = 130
"""Exit code of a run stopped with Ctrl-C, as shells use it."""

STOPPED = "Stopped. Nothing half-written was left behind."
"""What a run stopped with Ctrl-C says."""

NO_CACHE = "Compiled kernels cannot be kept: set NUMBA_CACHE_DIR to a folder that you may write."
"""What a run says where neither the package's folder nor the user's cache can be written."""

AGAIN_S = 0.2
"""Seconds after which an interrupt is repeated that fell where Python cannot pass it on."""


PATIENT: Final = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
"""How compiled libraries wait for their threads: asleep. Beside other programs on the same cores
they would otherwise spend nearly all of their time waiting busily (a campaign of 30 calls took 294
seconds instead of 43). What the user has set stands."""


def main() -> None:
    """Run the command line; every error that is ours becomes one sentence and an exit code."""
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    from materialabs.errors import InputError, MaterialabsError, NotFound, PhysicsError

    sys.unraisablehook = _repeat_interrupt
    try:
        from materialabs.cli.app import app

        app(prog_name="materialabs")
    except (InputError, PhysicsError, NotFound) as error:
        sys.exit(_say(str(error), WRONG_CALL))
    except MaterialabsError as error:
        sys.exit(_say(str(error), FAILED))
    except RuntimeError as error:
        if "cannot cache function" not in str(error):  # numba's words
            raise
        sys.exit(_say(NO_CACHE, FAILED))
    except KeyboardInterrupt:
        sys.exit(_say(STOPPED, INTERRUPTED))
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _say(STOPPED, INTERRUPTED)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
    except PermissionError as error:
        sys.exit(_say(f"No permission: {error.filename}. Choose a place you may use.", FAILED))
    except MemoryError:
        sys.exit(_say("Not enough memory: work on fewer crystals at a time.", FAILED))


def _repeat_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that fell into a callback of compiled code, where Python drops it."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


def _say(sentence: str, code: int) -> int:
    print(f"materialabs: {sentence}", file=sys.stderr)  # noqa: T201 - the command line's voice
    return code
