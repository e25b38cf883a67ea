"""Write the manual's reference pages from the code; a test compares them with what is committed.

Run with ``python scripts/make_reference.py``.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import typer.main

MANUAL = Path(__file__).parent.parent / "docs" / "reference"


def cli_page() -> str:
    """Every verb with its arguments and options."""
    from materialabs.cli.app import app

    root = typer.main.get_command(app)
    lines = ["# Command line", "", "Made from the code by `scripts/make_reference.py`.", ""]
    for path, command in sorted(_verbs(root, ["materialabs"])):
        lines += _verb_section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def _verbs(command: Any, path: list[str]) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(" ".join(path), command)]
    return [verb for name, child in children.items() for verb in _verbs(child, [*path, name])]


def _verb_section(path: str, command: Any) -> list[str]:
    lines = [f"## {path}", "", inspect.cleandoc(command.help or ""), ""]
    lines += ["| option | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        lines.append(_option_row(parameter))
    return [*lines, ""]


def _option_row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    default = parameter.default
    if callable(default) or default is None or default is False or default == []:
        text = "required" if parameter.required else ""
    elif isinstance(default, (list, tuple)):
        text = f"`{' '.join(str(part) for part in default)}`"
    else:
        text = f"`{default}`" if not parameter.required else "required"
    meaning = (parameter.help or "").replace("|", "\\|")
    return f"| {names} | {meaning} | {text} |"


PUBLIC_MODULES = (
    "materialabs",
    "materialabs.crystals",
    "materialabs.hull",
    "materialabs.generation",
    "materialabs.levels",
    "materialabs.elements",
    "materialabs.units",
    "materialabs.errors",
)


def python_page() -> str:
    """Every public name with its signature and docstring."""
    lines = ["# Python", "", "Made from the code by `scripts/make_reference.py`.", ""]
    for name in PUBLIC_MODULES:
        module = import_module(name)
        lines += [f"## {name}", "", _first_paragraph(module.__doc__), ""]
        public = getattr(module, "__all__", None) or _defined_in(module)
        for item in sorted(public):
            if not item.startswith("_"):
                lines += _name_section(name, item, getattr(module, item))
    return "\n".join(lines).rstrip() + "\n"


def _defined_in(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _name_section(module: str, name: str, value: Any) -> list[str]:
    title = f"### `{module}.{name}`"
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return [title, "", f"A {type(value).__name__}.", ""]
    lines = [title, "", "```text", _signature(name, value), "```", "", *_doc(value), ""]
    if inspect.isclass(value):
        for member, function in vars(value).items():
            target = getattr(function, "__func__", function)
            if not member.startswith("_") and inspect.isfunction(target):
                first = _first_paragraph(target.__doc__)
                lines.append(f"- `{_signature(member, target)}`: {first}")
        lines.append("")
    return lines


def _signature(name: str, value: Any) -> str:
    try:
        return f"{name}{inspect.signature(value)}"
    except (TypeError, ValueError):
        return name


def _doc(value: Any) -> list[str]:
    text = inspect.getdoc(value) or ""
    return ["```text", text, "```"] if "\n" in text else [text]


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


PAGES = {"cli.md": cli_page, "python.md": python_page}


def main() -> None:
    """Write both pages."""
    for name, page in PAGES.items():
        (MANUAL / name).write_text(page())


if __name__ == "__main__":
    main()
