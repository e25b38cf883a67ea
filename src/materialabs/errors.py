"""Every error that materialabs raises on purpose, as one tree.

::

    MaterialabsError
    ├── InputError (ValueError)        what was handed in is wrong: change it
    │   ├── FormulaError               a formula or chemical system does not parse
    │   ├── FileError                  a file cannot be read as what it claims to be
    │   └── DisorderError              the step needs full occupancy: call ``ordered()``
    ├── PhysicsError (ArithmeticError) the request is well formed but means nothing physical
    │   └── LevelError                 energies of different levels or kinds were mixed
    ├── ResourceError (OSError)        disk, memory, time or permission: mend the machine
    ├── ExternalError (RuntimeError)   another program failed: read its output
    ├── IntegrityError (ValueError)    bytes are not what their hash or signature says
    └── NotFound (LookupError)         the name is right in form but nothing bears it

Branch on the class by what can be done about it, or on ``code`` by what exactly happened.
"""

from __future__ import annotations


class MaterialabsError(Exception):
    """Anything that materialabs refuses or cannot do, in one sentence with a next step.

    Parameters
    ----------
    message
        What is wrong and what to do next.
    code
        A short stable identifier for programs, such as ``"formula.unknown_element"``.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary with the code."""
        return (_rebuild, (type(self), str(self), self.code))


def _rebuild(kind: type[MaterialabsError], message: str, code: str) -> MaterialabsError:
    return kind(message, code=code)


class InputError(MaterialabsError, ValueError):
    """What was handed in is wrong."""

    default_code = "input"


class FormulaError(InputError):
    """A formula or a chemical system does not parse."""

    default_code = "formula"


class FileError(InputError):
    """A file cannot be read as what it claims to be."""

    default_code = "file"


class DisorderError(InputError):
    """A step that needs every site fully occupied by one element met one that is not."""

    default_code = "disorder"


class PhysicsError(MaterialabsError, ArithmeticError):
    """The request is well formed but has no physical meaning."""

    default_code = "physics"


class LevelError(PhysicsError):
    """Energies of different levels of theory, or of different kinds, were mixed."""

    default_code = "level"


class ResourceError(MaterialabsError, OSError):
    """Disk, memory, time or permission ran out."""

    default_code = "resource"


class ExternalError(MaterialabsError, RuntimeError):
    """Another program failed."""

    default_code = "external"


class IntegrityError(MaterialabsError, ValueError):
    """Bytes are not what their hash or signature says."""

    default_code = "integrity"


class NotFound(MaterialabsError, LookupError):  # noqa: N818 - reads as the answer it is
    """A well-formed name that nothing bears."""

    default_code = "not_found"


def one_line(error: object, most: int = 120) -> str:
    """What a foreign library said, fit for our own sentence: one line, cut where it rambles."""
    return " ".join(str(error).split())[:most]


def kind_and_line(error: BaseException, most: int = 200) -> str:
    """Of a foreign error its class and what it said, on one line: ``KeyError: 'a'``."""
    return one_line(f"{type(error).__name__}: {error}", most)
