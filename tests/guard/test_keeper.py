"""What the guard process does with what it hears, on a time that the test moves and an exchange that it makes up."""

import asyncio
from typing import ClassVar

import pytest

from kit.connectors.client_order_ids import ClientOrderIds
from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import AuthenticationFailed, NetworkUnavailable
from kit.guard import keeper as keeper_module
from kit.guard.diary import Diary
from kit.guard.keeper import Keeper
from kit.guard.messages import GuardedAccount, GuardReport, encode
from kit.types.orders import OrderState, OrderUpdate
from kit.types.ports import Credentials

PAIR = "BTC/USDT"
LIMIT = 10.0


class FakeClient:
    """An account whose orders the test writes down."""

    made: ClassVar[list["FakeClient"]] = []

    def __init__(self, account, supervisor: TaskSupervisor, time_source):
        self.account, self.pairs = account, set(account.pairs)
        self.open: list[str] = []
        self.failure = None
        self.closed = False
        self.on_this_machine = False
        self.reached = True
        self.questions = 0
        self.made.append(self)

    async def prepare(self):
        if self.failure is not None:
            raise self.failure
        return len(self.open)

    async def open_orders(self):
        self.questions += 1
        if self.failure is not None:
            return [], self.failure
        return [OrderUpdate(PAIR, OrderState.OPEN, 0.0, order_id, "1") for order_id in self.open], None

    async def cancel(self, orders):
        for order in orders:
            self.open.remove(order.client_order_id)

    async def close(self):
        self.closed = True


class Scene:
    def __init__(self, tmp_path):
        self.time = ManualTime(1_000_000.0)
        self.said: list[dict] = []
        self.path = tmp_path / "diary"
        self.file = self.path.open("wb", buffering=0)
        self.keeper = Keeper(self.said.append, Diary(self.file.fileno(), self.time.time), self.time)
        self.ids = ClientOrderIds("core", time_source=self.time)
        self.task = asyncio.create_task(self.keeper.run())

    def hear(self, do, **message):
        self.keeper.on_line(encode({"do": do, **message}))

    async def guarding(self, name="a") -> FakeClient:
        self.hear("hello", core="core", born=self.ids.next(), pid=0, stall_limit=LIMIT)
        return await self.account(name)

    async def account(self, name="a") -> FakeClient:
        account = GuardedAccount(name, "binance", None, Credentials("the key", "the secret"), (PAIR,))
        self.keeper.on_line(encode(account.to_wire()))
        await self.time.advance(0)
        return FakeClient.made[-1]

    def beat(self):
        self.hear("beat", id=self.ids.next())

    async def beats(self, seconds):
        for _ in range(round(seconds / 0.25)):
            self.beat()
            await self.time.advance(0.25)

    @property
    def reports(self):
        return [GuardReport.from_wire(message) for message in self.said if message["say"] == "report"]

    @property
    def diary(self):
        return self.path.read_text()


@pytest.fixture
async def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper_module, "AccountClient", FakeClient)
    FakeClient.made.clear()
    scene = Scene(tmp_path)
    yield scene
    scene.hear("stop")
    await scene.task
    await scene.keeper._supervisor.close()
    scene.file.close()


async def test_a_second_command_is_answered_with_what_it_cancelled_itself(scene):
    client = await scene.guarding()
    for number in (1, 2):
        client.open = [scene.ids.next(), scene.ids.next()]
        scene.hear("cancel", number=number, reason="pressed", id=scene.ids.next())
        await scene.beats(1)
    assert [report.count for report in scene.reports] == [2, 2]
    assert scene.reports[-1].commands == (1, 2)


async def test_it_meets_a_core_when_what_it_did_about_a_stall_is_done_and_told(scene):
    client = await scene.guarding()
    client.open, client.failure = [scene.ids.next()], NetworkUnavailable("no answer")
    await scene.time.advance(LIMIT + 1)
    scene.beat()
    scene.hear("meet", number=7)
    scene.hear("ping", number=8)
    await scene.time.advance(1)
    assert [message["number"] for message in scene.said if message["say"] == "pong"] == [8]
    client.failure = None
    await scene.time.advance(5)
    said = [message["say"] for message in scene.said]
    assert [message["number"] for message in scene.said if message["say"] == "pong"] == [8, 7]
    assert said.index("report") < len(said) - 1 - said[::-1].index("pong")
    scene.hear("meet", number=9)
    assert scene.said[-1] == {"say": "pong", "number": 9}


async def test_nothing_is_cancelled_while_the_heart_beats(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next()]
    await scene.beats(5 * LIMIT)
    assert len(client.open) == 1
    assert not scene.reports


async def test_silence_cancels_and_the_core_hears_of_it(scene):
    client = await scene.guarding()
    client.open = [mine := scene.ids.next(), "somebody else's"]
    await scene.time.advance(LIMIT - 0.3)
    assert len(client.open) == 2
    await scene.time.advance(0.8)
    assert client.open == ["somebody else's"]
    (report,) = scene.reports
    assert report.cause == "stall"
    assert report.cancelled == {"a": (mine,)}
    assert report.verified


async def test_an_order_that_appears_late_is_found(scene):
    client = await scene.guarding()
    await scene.time.advance(LIMIT + 0.5)
    client.open = [scene.ids.next()]
    await scene.time.advance(2)
    assert not client.open
    await scene.time.advance(3)
    assert [report.count for report in scene.reports] == [0, 1]


async def test_orders_sent_before_the_loop_came_back_are_cancelled_later_ones_are_not(scene):
    client = await scene.guarding()
    await scene.time.advance(LIMIT + 5)
    queued = scene.ids.next()
    scene.beat()
    later = scene.ids.next()
    client.open = [queued, later]
    await scene.beats(5)
    assert client.open == [later]
    assert scene.reports[-1].cause == "recovery"
    await scene.time.advance(LIMIT + 1)  # guarded as before
    assert client.open == []


async def test_orders_left_from_earlier_runs_are_cancelled_those_of_a_later_core_are_not(scene):
    earlier = ClientOrderIds("core", time_source=scene.time).next()
    await scene.time.advance(1)
    client = await scene.guarding()
    await scene.time.advance(1)
    later = ClientOrderIds("core", time_source=scene.time).next()
    client.open = [earlier, later]
    scene.keeper.on_end()
    await scene.time.advance(1)
    assert client.open == [later]


async def test_the_end_of_the_core_cancels_and_ends_the_guard(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next() for _ in range(3)]
    scene.keeper.on_end()
    await scene.time.advance(1)
    assert not client.open
    assert not scene.task.done()  # what was in flight may still come
    await scene.time.advance(5)
    assert scene.task.done()


async def test_a_stop_ends_the_guard_and_cancels_nothing(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next()]
    scene.hear("stop")
    scene.keeper.on_end()
    await scene.time.advance(1)
    assert scene.task.done()
    assert len(client.open) == 1
    assert client.closed


async def test_a_guard_without_accounts_ends_with_its_core(scene):
    scene.hear("hello", core="core", born=scene.ids.next(), pid=0, stall_limit=LIMIT)
    await scene.time.advance(10 * LIMIT)
    assert not scene.task.done()
    scene.keeper.on_end()
    await scene.time.advance(1)
    assert scene.task.done()


async def test_a_command_cancels_and_is_answered_while_later_orders_are_left_alone(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next()]
    scene.hear("cancel", number=7, reason="button", id=scene.ids.next())
    client.open.append(later := scene.ids.next())
    await scene.beats(5)
    assert client.open == [later]
    (report,) = scene.reports
    assert report.commands == (7,)
    assert report.verified


async def test_every_one_of_many_commands_is_answered_by_few_questions(scene):
    client = await scene.guarding()
    for number in range(20):
        scene.hear("cancel", number=number, reason="button", id=scene.ids.next())
    await scene.beats(5)
    assert sorted(number for report in scene.reports for number in report.commands) == list(range(20))
    assert client.questions < 20


async def test_what_was_queued_on_a_blocked_loop_before_the_command_is_cancelled_when_it_comes(scene):
    client = await scene.guarding()
    queued = scene.ids.next()
    scene.hear("cancel", number=1, reason="button", id=scene.ids.next())
    await scene.time.advance(8)
    client.open = [queued]
    scene.beat()
    await scene.beats(1)
    assert not client.open


async def test_an_unreachable_exchange_does_not_keep_another_from_being_swept(scene):
    first = await scene.guarding("a")
    second = await scene.account("b")
    first.open, second.open = [scene.ids.next()], [scene.ids.next()]
    first.failure = NetworkUnavailable("no route")
    scene.keeper.on_end()
    await scene.time.advance(3600)
    assert not second.open
    assert first.questions < 600
    assert not scene.task.done()
    first.failure = None
    await scene.time.advance(30)
    assert not first.open
    assert scene.task.done()
    assert scene.reports[-1].verified


@pytest.mark.parametrize(
    ("failure", "here", "reached", "patience"),
    [
        (NetworkUnavailable("refused"), True, True, 20),
        (NetworkUnavailable("refused"), False, False, 300),
        (AuthenticationFailed("revoked"), False, True, 60),
    ],
)
async def test_a_guard_without_hope_does_not_stay(scene, failure, here, reached, patience):
    client = await scene.guarding()
    client.failure, client.on_this_machine, client.reached = failure, here, reached
    scene.keeper.on_end()
    await scene.time.advance(patience - 5)
    assert not scene.task.done()
    await scene.time.advance(60)
    assert scene.task.done()
    assert not scene.reports[-1].verified
    assert "given up" in scene.diary


async def test_a_line_that_is_no_message_does_no_harm_and_is_not_written_down(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next()]
    for line in (b"the secret", b"[]", b'{"do": "nothing"}', b'{"do": "account", "keys": "the secret"}', b"\xff"):
        scene.keeper.on_line(line)
    await scene.time.advance(LIMIT + 1)
    assert not client.open
    assert scene.diary.count("bad message") == 5
    assert "the secret" not in scene.diary


async def test_a_defect_on_one_account_is_tried_again(scene):
    client = await scene.guarding()
    client.open = [scene.ids.next()]
    real, broken = client.cancel, [True, True]

    async def cancel(orders):
        if broken:
            broken.pop()
            raise ZeroDivisionError("planned, with the secret")
        await real(orders)

    client.cancel = cancel
    scene.keeper.on_end()
    await scene.time.advance(10)
    assert not client.open
    assert scene.task.done()
    assert "planned, with ***" in scene.diary


async def test_more_pairs_are_added_and_none_is_dropped(scene):
    client = await scene.guarding()
    scene.hear("pairs", name="a", pairs=["ETH/USDT"])
    assert client.pairs == {PAIR, "ETH/USDT"}
