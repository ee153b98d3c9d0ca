"""Real processes, really killed and blocked, and an exchange that tells what is open afterwards."""

import os
import signal
from pathlib import Path

import psutil

from kit.connectors.client_order_ids import tag_of
from kit.guard.diary import read_diary
from tests.support.guarded_core import alive
from tests.support.stack import INSIDE, connected, until
from tests.support.terminal import kit_command

STALL_LIMIT = 6.0  # a busy machine may keep a process waiting for some seconds; what blocks the core has no end


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
        await none_left("killed")
        await until(lambda: not alive(facts["guard"]), "the guard ends when its work is done")
        work = ("cancel", "clear", "done", "stop")
        assert [event for event in events(facts["log"]) if event in work] == list(work)
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
    for block in ("sleep", "spin", "c-call"):
        # While the guard may still follow up what it did, orders of the recovered core are left alone.
        assert len(await testnet.open_orders(tag_of("blocked"))) == 3
        stalls, recoveries = (events(facts["log"]).count(event) for event in ("stall", "recovered"))
        core.say(block)
        await none_left("blocked")
        assert events(facts["log"]).count("stall") > stalls  # it is the stall that the guard acts on
        if block == "c-call":
            break  # no interrupt ends it
        core.interrupt()
        assert await core.hear() == {"done": block}
        # What is placed before the guard hears of the recovery is cancelled, too.
        recovered = f"the guard says that the loop is back after {block}"
        await until(lambda before=recoveries: events(facts["log"]).count("recovered") > before, recovered)
        core.say("rest")
        assert await core.hear() == {"guard": facts["guard"]}


async def test_the_button_works_from_a_thread_while_the_loop_is_blocked_and_an_exit_cancels(testnet, start, none_left):
    core = start(name="pressed")
    facts = await core.hear()
    core.say("button")  # the loop is blocked until the word of the guard has come
    assert await core.hear() == {"cancelled": 3, "verified": True, "cause": "command"}
    assert await testnet.open_orders(tag_of("pressed")) == []
    core.say("rest")
    await core.hear()
    assert len(await testnet.open_orders(tag_of("pressed"))) == 3
    core.say("exit")
    await none_left("pressed")
    await until(lambda: not alive(facts["guard"]), "the guard ends")
    assert "exits without stop" in str(read_diary(Path(facts["log"])))


async def test_the_next_core_of_the_name_is_left_alone_by_the_guard_of_the_last(testnet, start, none_left):
    first = start(name="again")
    facts = await first.hear()
    left = {order.client_order_id for order in await testnet.open_orders(tag_of("again"))}
    os.kill(facts["guard"], signal.SIGSTOP)  # so that it acts when the next core's orders rest
    try:
        first.kill()
        second = start(name="again", orders=2)
        await second.hear()
    finally:
        os.kill(facts["guard"], signal.SIGCONT)
    await until(lambda: not alive(facts["guard"]), "the first guard ends")
    assert "end" in events(facts["log"])
    theirs = {order.client_order_id for order in await testnet.open_orders(tag_of("again"))}
    assert len(theirs) == 2
    assert not theirs & left
    second.kill()
    await none_left("again")


async def test_an_exchange_that_does_not_answer_is_asked_until_it_does(testnet, start, none_left):
    name = "unreachable"
    core = start(name=name)
    facts = await core.hear()
    await testnet.fault("drop_before", on="openOrders.status", seconds=600)
    core.kill()
    await until(lambda: "unreachable" in events(facts["log"]), "the guard meets the fault")
    assert len(await testnet.open_orders(tag_of(name))) == 3
    await testnet.clear_faults()
    await none_left(name)
    await until(lambda: not alive(facts["guard"]), "the guard ends")
    assert "given up" not in events(facts["log"])


async def test_the_button_works_from_a_terminal_while_the_loop_is_blocked(testnet, start):
    core = start(name="from a terminal")
    await core.hear()
    process = psutil.Process(core.pid)
    before = process.cpu_times().user
    core.say("spin")
    await until(lambda: process.cpu_times().user > before + 1, "the loop is blocked")
    said = await kit_command("red", "--patience=120", "from a terminal")
    assert "3 orders cancelled, 0 open on binance, verified" in said
    assert "the core cancels" not in said  # its loop is blocked still
    assert await testnet.open_orders(tag_of("from a terminal")) == []
