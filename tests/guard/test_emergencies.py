"""Real processes, really killed and blocked, and an exchange that tells what is open afterwards."""

import asyncio
import time
from pathlib import Path

from kit.connectors.client_order_ids import tag_of
from kit.guard.diary import read_diary
from tests.support.guarded_core import alive
from tests.support.stack import INSIDE, connected, until

STALL_LIMIT = 2.5  # a busy machine may keep a process waiting for a second; the blocks of the guarded core are longer


def events(log):
    return [entry.event for entry in read_diary(Path(log))]


async def test_a_killed_process_leaves_no_order_and_no_secret(testnet, start, none_left):
    async with connected(testnet) as other:  # on the same account
        others = await other.rest(INSIDE)
        core = start(name="killed")
        facts = await core.hear()
        assert len(await testnet.open_orders(tag_of("killed"))) == 3
        check_secrets(testnet, facts)
        core.kill()
        await none_left("killed", 2.0)
        await until(lambda: not alive(facts["guard"]), "the guard ends when its work is done", 10)
        assert events(facts["log"])[-4:] == ["cancel", "clear", "done", "stop"]
        check_secrets(testnet, facts, running=False)
        assert [order.client_order_id for order in await testnet.open_orders(other.tag)] == [others]


def check_secrets(testnet, facts, running=True):
    log = Path(facts["log"])
    seen = [log.read_bytes()]
    if running:
        seen += [Path(f"/proc/{facts['guard']}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert log.stat().st_mode & 0o077 == 0
    for text in seen:
        assert text
        assert testnet.credentials.secret.encode() not in text
        assert testnet.credentials.api_key.encode() not in text


async def test_a_blocked_loop_has_its_orders_cancelled_and_is_guarded_on(testnet, start, none_left):
    core = start(name="blocked", stall_limit=STALL_LIMIT)
    facts = await core.hear()
    for number, block in enumerate(("sleep", "spin", "c-call"), 1):
        # While the guard may still follow up what it did, orders of the recovered core are left alone.
        assert len(await testnet.open_orders(tag_of("blocked"))) == 3
        core.say(block)
        assert await none_left("blocked", STALL_LIMIT + 2) > STALL_LIMIT / 2
        if block == "c-call":
            break  # it blocks for a minute or more
        assert await core.hear() == {"done": block}
        # What is placed before the guard hears of the recovery is cancelled, too.
        recovered = f"the guard says that the loop is back, {number}"
        await until(lambda number=number: events(facts["log"]).count("recovered") == number, recovered)
        core.say("rest")
        assert await core.hear() == {"guard": facts["guard"]}


async def test_the_button_works_from_a_thread_while_the_loop_is_blocked_and_an_exit_cancels(testnet, start, none_left):
    core = start(name="pressed")
    facts = await core.hear()
    began = time.monotonic()
    core.say("button")
    await none_left("pressed", 2.2)  # it is pressed after 0.2 s
    assert await core.hear() == {"cancelled": 3, "verified": True}
    assert time.monotonic() - began < 3
    core.say("rest")
    await core.hear()
    assert len(await testnet.open_orders(tag_of("pressed"))) == 3
    core.say("exit")
    await none_left("pressed", 3.0)
    await until(lambda: not alive(facts["guard"]), "the guard ends", 10)
    assert "exits without stop" in str(read_diary(Path(facts["log"])))


async def test_the_next_core_of_the_name_is_left_alone_by_the_guard_of_the_last(testnet, start, none_left):
    first = start(name="again")
    facts = await first.hear()
    second = start(name="again", orders=2)
    await asyncio.sleep(0)
    first.kill()
    await until(lambda: "end" in events(facts["log"]), "the first guard acts")
    await second.hear()
    await until(lambda: not alive(facts["guard"]), "the first guard ends", 10)
    assert len(await testnet.open_orders(tag_of("again"))) == 2
    second.kill()
    await none_left("again", 2.0)


async def test_an_exchange_that_does_not_answer_is_asked_until_it_does(testnet, start, none_left):
    name = "unreachable"
    core = start(name=name)
    facts = await core.hear()
    await testnet.fault("drop_before", on="openOrders.status", seconds=1.5)
    core.kill()
    await until(lambda: "unreachable" in events(facts["log"]), "the guard meets the fault")
    assert len(await testnet.open_orders(tag_of(name))) == 3
    await none_left(name, 5.0)
    await until(lambda: not alive(facts["guard"]), "the guard ends", 10)
    assert "given up" not in events(facts["log"])
