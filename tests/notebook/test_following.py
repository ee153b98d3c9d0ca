"""A panel that follows what it shows."""

import pytest

from kit.core.affinity import LoopAffinity
from kit.errors import NotReady
from kit.notebook.following import FollowingModel, Subject
from kit.notebook.panel import Frame


class Shown:
    def __init__(self, name):
        self.name, self.ended, self.commands = name, False, []

    def frame(self, full):
        return Frame({"name": self.name}) if full else None

    def command(self, message):
        self.commands.append(message)
        return {"text": self.name}

    def text(self):
        return self.name

    def html(self):
        return f"<b>{self.name}</b>"


class Stage:
    def __init__(self):
        self.subject = None
        self.made = []
        self.model = FollowingModel("shown", lambda: LoopAffinity(None), self.find)

    def find(self):
        if self.subject is None:
            return Subject(None, why_not="nothing <yet>")
        return Subject(self.subject, self.make)

    def make(self):
        self.made.append(Shown(self.subject))
        return self.made[-1]


@pytest.fixture
def stage():
    return Stage()


def test_nothing_is_told_once(stage):
    assert stage.model.frame(full=False).content == {"empty": "nothing <yet>"}
    assert stage.model.frame(full=False) is None
    assert stage.model.frame(full=True).content == {"empty": "nothing <yet>"}
    assert stage.model.text() == "nothing <yet>"
    assert stage.model.html() == "<div>nothing &lt;yet&gt;</div>"
    with pytest.raises(NotReady, match="yet"):
        stage.model.command({"do": "cancel"})


def test_what_appears_or_is_replaced_is_sent_whole(stage):
    stage.model.frame(full=True)
    for name in ("a", "b"):
        stage.subject = name
        assert not stage.model.ended
        frame = stage.model.frame(full=False)
        assert frame.full
        assert frame.content == {"name": name}
        assert stage.model.frame(full=False) is None
    assert [shown.name for shown in stage.made] == ["a", "b"]
    stage.subject = None
    assert stage.model.frame(full=False).content == {"empty": "nothing <yet>"}


def test_commands_go_to_what_is_there_now(stage):
    stage.subject = "a"
    stage.model.frame(full=True)
    stage.subject = "b"
    assert stage.model.command({"do": "x"}) == {"text": "b"}
    assert stage.made[0].commands == []


def test_it_ends_with_what_it_shows(stage):
    stage.subject = "a"
    stage.model.frame(full=True)
    assert not stage.model.ended
    stage.made[0].ended = True
    assert stage.model.ended
    stage.subject = "b"
    assert not stage.model.ended
