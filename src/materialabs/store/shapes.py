"""The shape that a record's document must have when it comes from somewhere else."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from materialabs.errors import InputError

LONGEST_TEXT: Final = 4096
"""Characters; longer values are blobs."""

LONGEST_LIST: Final = 4096
"""Numbers; longer values are blobs."""

MOST_PARENTS: Final = 1000
"""Records that one record is made from."""


def _plain(text: str) -> str:
    """Refuse what PostgreSQL cannot keep and what would break a line of a log."""
    if any(ord(sign) < ord(" ") or 0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise ValueError("holds control characters")
    return text


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_plain)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(max_length=LONGEST_LIST)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LevelShape(_Shape):
    """A level of theory."""

    functional: Text
    hubbard: Text = ""
    pseudopotentials: Text = ""
    correction: Text = ""
    code: Text = ""
    version: Text = ""
    weights: Text = ""
    settings: Text = ""
    emulates: LevelShape | None = None


class MethodShape(_Shape):
    """How a value was obtained."""

    kind: Text
    name: Text = ""
    version: Text = ""
    settings: Text = ""
    level: LevelShape | None = None


class ConditionShape(_Shape):
    """Under what condition."""

    value: Number
    unit: Text


class PropertyShape(_Shape):
    """One value of one property."""

    name: Text
    unit: Text
    method: MethodShape
    value: bool | Number | Text | Numbers = ""
    blob: Text = ""
    uncertainty: Annotated[Number, Field(ge=0)] | None = None
    conditions: dict[Text, ConditionShape] = Field(default_factory=dict)


class RecordShape(_Shape):
    """One observation."""

    v: int
    crystal: Text = ""
    composition: Text = ""
    doi: Text = ""
    source: Text = ""
    supersedes: Text = ""
    parents: Annotated[list[Text], Field(max_length=MOST_PARENTS)] = Field(default_factory=list)
    properties: list[PropertyShape] = Field(default_factory=list)


def check_shape(document: Any) -> None:
    """Refuse a document that is not a record's, naming the first thing that is wrong."""
    try:
        RecordShape.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"A record cannot be read: {place}: {first['msg']}.") from error
