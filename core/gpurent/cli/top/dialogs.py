"""Dialogs shown over the table."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from gpurent.locale import _

_DIALOG_CSS = """
{name} {{ align: center middle; }}
{name} > Vertical {{ width: 72; max-width: 95%; height: auto; border: round $warning; padding: 0 1; }}
{name} > Vertical {{ background: $surface; }}
{name} Static {{ width: 1fr; height: auto; }}
"""


class ConfirmDialog(ModalScreen[bool]):
    """A yes/no dialog: only ``y`` is yes; any other way to close it is no."""

    CSS = _DIALOG_CSS.format(name="ConfirmDialog")
    BINDINGS: ClassVar = [
        Binding("y", "answer(True)", show=False),
        Binding("n,escape,q", "answer(False)", show=False),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self._question, markup=False)
            yield Static(_("y: yes    n: no"), markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class InputDialog(ModalScreen[str]):
    """A dialog for a line of text; empty if it was cancelled."""

    CSS = _DIALOG_CSS.format(name="InputDialog")
    BINDINGS: ClassVar = [Binding("escape", "leave", show=False)]

    def __init__(self, label: str, given: str) -> None:
        super().__init__()
        self._label = label
        self._initial_text = given

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self._label, markup=False)
            yield Input(self._initial_text)
            yield Static(_("Enter: continue    Esc: cancel"), markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        self.dismiss("")
