"""A prompter with scripted answers, and a question store in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from gpurent.domain.question import Question


@define
class ScriptedPrompter:
    """A prompter with scripted answers; implements `gpurent.ports.terminal.Prompter`.

    Not interactive once they are used up.
    """

    answers: list[str]

    @property
    def is_interactive(self) -> bool:
        return bool(self.answers)

    @property
    def can_confirm(self) -> bool:
        return self.is_interactive

    async def confirm(self, question: Question) -> bool:
        return await self.ask_question(question) == "yes"

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        return await self.ask_question(question)

    async def ask_question(self, question: Question) -> str | None:
        return self.answers.pop(0) if self.answers else None


@define
class MemoryQuestions:
    """A question store in memory; implements `gpurent.ports.store.QuestionStore`."""

    asked: dict[str, Question] = field(factory=dict)
    answered: dict[str, str] = field(factory=dict)

    async def put_question(self, question: Question) -> None:
        self.asked.setdefault(question.id, question)

    async def list_open_questions(self, trip_id: str) -> Sequence[Question]:
        return [
            question
            for question in self.asked.values()
            if question.trip == trip_id and question.id not in self.answered
        ]

    async def find_answer(self, question_id: str) -> str | None:
        return self.answered.get(question_id)

    async def put_answer(self, question_id: str, answer: str) -> None:
        self.answered[question_id] = answer
