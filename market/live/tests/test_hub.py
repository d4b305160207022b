"""The hub's guarantees, with a memory store and a bus that loses, repeats and reorders."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.waiting import eventually
from market.bus.messages import FormingCandle, encode
from market.domain.timeframe import Timeframe
from market.live.hub import Hub
from market.live.tests.fakes import RecordingWire, World, settle
from market.live.watcher import Watcher
from market.metrics_registry import REGISTRY, collecting
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candle, candles
from tests.examples import examples

NOW = 10**6


@pytest.fixture
async def world():
    return World()


def make_hub(world, **options):
    options = {"check_interval": 3600, "now": lambda: NOW, **options}
    hub = Hub(world.store, world.layer, run_blocking=world.run_blocking, **options)
    hub.start()
    return hub


@pytest.fixture
async def hub(world):
    hub = make_hub(world)
    yield hub
    await hub.stop()


async def follow(hub, since=None, supports_batch=True, **known):
    watcher = Watcher(RecordingWire())
    await hub.subscribe(watcher, MINUTE, since=since, supports_batch=supports_batch, **known)
    return watcher


def revised_from(wire):
    return [m["data"]["from_time"] for m in wire.of_type("system")]


def gaps_of(wire):
    return [(g["expected_next_time"], g["actual_time"]) for g in wire.of_type("gap")]


async def test_catch_up_is_one_batch(world, hub):
    world.ingest(MINUTE, candles(60, 120, 180))
    watcher = await follow(hub, since=60)
    assert [m["type"] for m in watcher.wire.messages] == ["candles_batch"]
    assert watcher.wire.closed_times() == [120, 180]


async def test_catch_up_without_batch_support(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    watcher = await follow(hub, supports_batch=False)
    assert [m["type"] for m in watcher.wire.messages] == ["candle_closed"] * 2


async def test_catch_up_without_candles_sends_nothing(hub):
    assert (await follow(hub)).wire.messages == []


async def test_live_candle_reaches_every_watcher_once(world, hub):
    world.ingest(MINUTE, candles(60))
    watchers = [await follow(hub, since=60) for _ in range(3)]
    world.announce(MINUTE, candles(120))
    await settle()
    assert [w.wire.closed_times() for w in watchers] == [[120]] * 3


async def test_repeated_bus_message_is_delivered_once(world, hub):
    watcher = await follow(hub)
    for message in world.ingest(MINUTE, candles(60)) * 3:
        world.layer.deliver(message)
    await settle()
    assert watcher.wire.closed_times() == [60]


async def test_candle_that_arrives_after_its_revision_is_read_from_the_store(world, hub):
    watcher = await follow(hub)
    overtaken = world.ingest(MINUTE, [candle(60, 1.1)])
    for message in (*world.ingest(MINUTE, [candle(60, 1.2)]), *overtaken):
        world.layer.deliver(message)
    await settle()
    closed = [m["candle"] for m in watcher.wire.messages if m["type"] == "candle_closed"]
    assert [(each["candle_time"], each["close"]) for each in closed] == [(60, 1.2)]


async def test_candle_committed_during_the_catch_up_is_sent_once(world, hub):
    world.ingest(MINUTE, candles(60))
    await follow(hub, since=60)
    world.before_read = lambda: world.announce(MINUTE, candles(120))
    watcher = await follow(hub, since=0)
    await settle()
    assert watcher.wire.closed_times() == [60, 120]


async def test_lost_bus_message_is_read_from_the_store(world, hub):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    world.ingest(MINUTE, candles(120))
    world.announce(MINUTE, candles(180))
    await settle()
    assert watcher.wire.closed_times() == [120, 180]
    assert gaps_of(watcher.wire) == []


async def test_without_a_bus_the_store_is_polled(world):
    world.layer.down = True
    hub = make_hub(world, check_interval=0.01)
    watcher = await follow(hub)
    world.ingest(MINUTE, candles(60, 120))
    await eventually(lambda: watcher.wire.closed_times() == [60, 120])
    await hub.stop()


async def test_gap_in_the_store_is_sent_as_gap(world, hub):
    world.ingest(MINUTE, candles(60, 120, 180))
    watcher = await follow(hub, since=180)
    world.announce(MINUTE, candles(300))
    await settle()
    assert [m["type"] for m in watcher.wire.messages] == ["gap", "candle_closed"]
    assert gaps_of(watcher.wire) == [(240, 300)]


async def test_months_follow_each_other_and_a_missing_one_is_a_gap(world, hub):
    months = MINUTE.with_timeframe(Timeframe.parse("1M"))
    opens = [0]
    for _ in range(14):
        opens.append(months.timeframe.close_of(opens[-1]))
    world.ingest(months, candles(*opens[:7]))
    watcher = Watcher(RecordingWire())
    await hub.subscribe(watcher, months, since=opens[1], supports_batch=True)
    for each in (*opens[7:11], opens[12]):
        world.announce(months, candles(each))
        await settle()
    assert gaps_of(watcher.wire) == [(opens[11], opens[12])]


async def test_gaps_inside_a_batch_come_before_it(world, hub):
    world.ingest(MINUTE, candles(300))
    batching = await follow(hub, since=300)
    single = await follow(hub, since=300, supports_batch=False)
    world.announce(MINUTE, candles(420, 540))
    await settle()
    assert [m["type"] for m in batching.wire.messages] == ["gap", "gap", "candles_batch"]
    assert [m["type"] for m in single.wire.messages] == ["gap", "candle_closed"] * 2
    assert gaps_of(batching.wire) == gaps_of(single.wire) == [(360, 420), (480, 540)]


async def test_cut_catch_up_is_followed_by_a_gap(world):
    hub = make_hub(world, catchup_limit=2)
    world.ingest(MINUTE, candles(60, 120, 180, 240))
    watcher = await follow(hub, since=0)
    world.announce(MINUTE, candles(300))
    await settle()
    assert watcher.wire.closed_times() == [60, 120, 300]
    assert gaps_of(watcher.wire) == [(180, 300)]
    await hub.stop()


async def test_repaired_gap_is_sent_as_candles(world):
    asked = []

    async def repair(series, start, end):
        asked.append((start, end))
        world.ingest(series, candles(120, 180))
        return True

    hub = make_hub(world, repair_gap=repair)
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=60)
    world.announce(MINUTE, candles(240))
    await settle()
    assert asked == [(120, 180)]
    assert watcher.wire.closed_times() == [120, 180, 240]
    assert gaps_of(watcher.wire) == []
    await hub.stop()


async def test_forming_candle_is_never_sent_after_its_close(world, hub):
    watcher = await follow(hub)
    world.layer.deliver(FormingCandle(MINUTE, candle(60)))
    world.announce(MINUTE, candles(60))
    world.layer.deliver(FormingCandle(MINUTE, candle(60)))
    await settle()
    assert [m["type"] for m in watcher.wire.messages] == ["candle_forming", "candle_closed"]


async def test_watcher_that_is_behind_gets_only_the_newest_forming_candle(world, hub):
    watcher = await follow(hub)
    watcher.wire.behind = True
    for close in (1.1, 1.2, 1.3):
        world.layer.deliver(FormingCandle(MINUTE, candle(60, close)))
    await settle()
    assert watcher.wire.messages == []
    watcher.wire.behind = False
    watcher.release_forming()
    assert [m["candle"]["close"] for m in watcher.wire.messages] == [1.3]


async def test_held_forming_candle_is_dropped_by_its_close(world, hub):
    watcher = await follow(hub)
    watcher.wire.behind = True
    world.layer.deliver(FormingCandle(MINUTE, candle(60)))
    world.announce(MINUTE, candles(60))
    await settle()
    watcher.wire.behind = False
    watcher.release_forming()
    assert [m["type"] for m in watcher.wire.messages] == ["candle_closed"]


async def test_revision_is_sent_once(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    watcher = await follow(hub, since=120)
    for message in world.ingest(MINUTE, [candle(60, close=1.9)]) * 2:
        world.layer.deliver(message)
    await settle()
    sent = watcher.wire.of_type("system")
    assert [(m["event"], m["data"]["from_time"]) for m in sent] == [("candle.revised", 60)]


async def test_lost_revisions_are_sent_from_the_earliest_time(world, hub):
    world.ingest(MINUTE, candles(60, 120, 180))
    watcher = await follow(hub, since=180)
    world.ingest(MINUTE, [candle(60, close=1.9)])
    world.announce(MINUTE, [candle(120, close=1.9)])
    await settle()
    assert [m["data"]["from_time"] for m in watcher.wire.of_type("system")] == [60]


async def test_resuming_watcher_gets_revisions_since_its_epoch(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    world.ingest(MINUTE, [candle(60, close=1.9)])
    sent = [await follow(hub, since=120, epoch=epoch) for epoch in (0, 1)]
    assert [len(w.wire.of_type("system")) for w in sent] == [1, 0]


async def test_revision_during_a_catch_up_is_sent_after_it(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    await follow(hub, since=120)
    world.before_read = lambda: world.announce(MINUTE, [candle(60, close=1.9)])
    watcher = await follow(hub, since=0)
    await settle()
    assert [m["type"] for m in watcher.wire.messages] == ["candles_batch", "system"]


async def test_epoch_from_the_future_makes_the_watcher_read_everything(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    watcher = await follow(hub, since=120, epoch=7)
    sent = watcher.wire.of_type("system")
    assert [(m["data"]["from_time"], m["data"]["epoch"]) for m in sent] == [(0, 0)]


# The store's past changes: a failover that lost its tail, a restore


async def test_message_of_another_generation_makes_watchers_read_everything(world, hub):
    world.ingest(MINUTE, candles(60, 120, 180))
    watcher = await follow(hub, since=180)
    world.fail_over(MINUTE, lost=1)
    world.announce(MINUTE, candles(240))
    await settle()
    sent = [(m["type"], m.get("data", {}).get("from_time")) for m in watcher.wire.messages]
    assert sent == [("system", 0), ("gap", None), ("candle_closed", None)]
    assert (watcher.wire.closed_times(), gaps_of(watcher.wire)) == ([240], [(180, 240)])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"lost": 1},
        {"lost": 3},
        {"lost": 1, "generation": "restored"},
        {"revisions": 1, "generation": "restored"},
    ],
)
async def test_check_finds_that_the_past_changed(world, hub, change):
    world.store.current = MemoryCandleStore("restored")
    world.ingest(MINUTE, candles(60, 120, 180))
    world.ingest(MINUTE, [candle(60, close=1.9)])
    watcher = await follow(hub, since=180)
    world.fail_over(MINUTE, **change)
    for _ in range(2):
        await hub.check()
        await settle()
    assert [m["type"] for m in watcher.wire.messages] == ["system"]
    assert revised_from(watcher.wire) == [0]


async def test_epoch_that_is_used_again_is_not_taken_for_known(world, hub):
    world.ingest(MINUTE, candles(60, 120, 180))
    world.ingest(MINUTE, [candle(120, close=1.9)])
    watcher = await follow(hub, since=180)
    world.fail_over(MINUTE, revisions=1)
    world.announce(MINUTE, [candle(60, close=1.9)])
    await settle()
    assert revised_from(watcher.wire) == [0]


async def test_candle_that_replaces_a_lost_one_is_a_revision(world, hub):
    """The watcher was sent that time before, and its times always increase."""
    world.ingest(MINUTE, candles(60, 120, 180))
    old, new = await follow(hub, since=120), await follow(hub, since=180)
    world.fail_over(MINUTE, lost=2)
    await hub.check()
    await settle()
    world.announce(MINUTE, [candle(120, close=1.7)])
    world.announce(MINUTE, [candle(180, close=1.7), candle(240)])
    await settle()
    for watcher in (old, new):
        assert revised_from(watcher.wire) == [0, 120, 180]
        assert watcher.wire.closed_times()[-1] == 240
        assert gaps_of(watcher.wire) == []
    assert (old.wire.closed_times(), new.wire.closed_times()) == ([180, 240], [240])


async def test_late_message_of_a_lost_generation_is_not_delivered(world, hub):
    watcher = await follow(hub)
    lost = world.ingest(MINUTE, [candle(60, close=1.1)])
    world.fail_over(MINUTE, lost=1)
    for message in (*world.ingest(MINUTE, [candle(60, close=1.2)]), *lost):
        world.layer.deliver(message)
    await settle()
    closed = [m["candle"]["close"] for m in watcher.wire.messages if m["type"] == "candle_closed"]
    assert closed == [1.2]


async def test_message_without_a_generation_is_delivered_at_once(world, hub):
    """A process of an earlier version sent it."""
    watcher = await follow(hub)
    (message,) = world.ingest(MINUTE, candles(60))
    reads = world.reads
    world.layer.queue.put_nowait({**encode(message), "generation": None})
    await settle()
    assert (watcher.wire.closed_times(), world.reads) == ([60], reads)


async def test_resuming_watcher_of_another_generation_reads_everything(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    world.ingest(MINUTE, [candle(60, close=1.9)])
    here = world.store.generation()
    known = [{"generation": "before"}, {"generation": here}, {}]
    sent = [await follow(hub, since=120, epoch=1, **each) for each in known]
    assert [revised_from(each.wire) for each in sent] == [[0], [], []]


async def test_resuming_watcher_gets_what_replaces_its_lost_candles(world, hub):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=180, epoch=0, generation="before")
    world.announce(MINUTE, candles(120, 180, 240))
    await settle()
    assert revised_from(watcher.wire) == [0, 120]
    assert watcher.wire.closed_times() == [240]


async def test_still_open_candle_is_withheld_until_it_is_over(world):
    clock = [250.0]
    hub = make_hub(world, now=lambda: clock[0], check_interval=0.01)
    world.ingest(MINUTE, candles(120, 180, 240))
    watcher = await follow(hub)
    assert watcher.wire.closed_times() == [120, 180]
    clock[0] = 300.0
    await eventually(lambda: watcher.wire.closed_times() == [120, 180, 240])
    await hub.stop()


async def test_subscribing_again_starts_over_from_the_new_cursor(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    watcher = await follow(hub, since=120)
    await hub.subscribe(watcher, MINUTE, since=60, supports_batch=False)
    world.announce(MINUTE, candles(180))
    await settle()
    assert watcher.wire.closed_times() == [120, 180]


async def test_cursor_beyond_the_head_is_kept(world, hub):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hub, since=180)
    for time in (120, 180, 240):
        world.announce(MINUTE, candles(time))
    await settle()
    assert watcher.wire.closed_times() == [240]


async def test_unsubscribed_watcher_gets_nothing(world, hub):
    watcher = await follow(hub)
    hub.unsubscribe(watcher, MINUTE)
    world.announce(MINUTE, candles(60))
    await settle()
    assert watcher.wire.messages == []


async def test_group_is_left_with_the_last_watcher(world):
    hub = make_hub(world, check_interval=0.01)
    watcher = await follow(hub)
    assert any(world.layer.groups.values())
    hub.leave(watcher)
    await eventually(lambda: not any(world.layer.groups.values()))
    await hub.stop()


async def test_equal_catch_ups_share_one_read(world, hub):
    world.ingest(MINUTE, candles(60, 120))
    await follow(hub)
    before = world.reads
    await asyncio.gather(*(follow(hub, since=60) for _ in range(50)))
    assert world.reads - before == 1


async def test_failed_catch_up_leaves_no_subscription(world, hub):
    def fail():
        raise ConnectionError

    world.before_read = fail
    watcher = Watcher(RecordingWire())
    with pytest.raises(ConnectionError):
        await hub.subscribe(watcher, MINUTE)
    assert hub.subscriptions_of(watcher) == frozenset()


async def test_malformed_bus_message_is_counted_and_skipped(world, hub):
    watcher = await follow(hub)
    with collecting():
        world.layer.queue.put_nowait({"type": "closed", "series_id": "nonsense"})
        world.announce(MINUTE, candles(60))
        await settle()
        malformed = REGISTRY.get_sample_value("market_bus_malformed_total")
    assert (malformed, watcher.wire.closed_times()) == (1, [60])


# The property that the product depends on

times = st.integers(1, 20).map(lambda minute: minute * 60)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("candle"), times, st.sampled_from([1.1, 1.2, 1.3])),
        st.tuples(st.just("batch"), st.lists(times, min_size=2, max_size=5), st.just(1.4)),
        st.tuples(st.just("lose")),
        st.tuples(st.just("repeat")),
        st.tuples(st.just("swap")),
        st.tuples(st.just("join"), st.one_of(st.none(), times), st.booleans()),
        st.tuples(st.just("settle")),
        st.tuples(st.just("resume")),
        st.tuples(st.just("fail_over"), st.integers(0, 3), st.integers(0, 2)),
    ),
    max_size=40,
)


class Client:
    """A client as docs/sync.md describes it: it merges by time and reads again after a revision."""

    def __init__(self, since, supports_batch, rows, state):
        self.watcher = Watcher(RecordingWire())
        self.since, self.supports_batch, self.state = since, supports_batch, state
        self.candles = {row.candle_time: row.close for row in rows}
        self.seen = []
        self.followed = []
        """What was seen since everything was read again, behind the newest candle read then."""
        self.named = set()

    def read_wire(self, store):
        for message in self.watcher.wire.messages:
            if message["type"] == "gap":
                self.named |= set(range(message["expected_next_time"], message["actual_time"], 60))
            for body in message.get("candles", [message.get("candle")]):
                if body is not None:
                    self.seen.append(body["candle_time"])
                    self.followed.append(body["candle_time"])
                    self.candles[body["candle_time"]] = body["close"]
            if message["type"] == "system":
                self.read_again(store, message["data"])
        self.watcher.wire.messages.clear()

    def read_again(self, store, notice):
        """Read what was revised; all, if nothing that it has can be relied on."""
        now, from_time = store.state(MINUTE), notice["from_time"]
        if from_time == 0 or now.generation != self.state.generation:
            from_time = 0
            self.candles.clear()
        self.state = now._replace(epoch=min(now.epoch, notice["epoch"]))
        for row in store.read_after(MINUTE, from_time - 1, 1000):
            self.candles[row.candle_time] = row.close
        if from_time == 0:
            self.followed = list(self.candles)[-1:]


@given(steps)
@example(
    [
        ("join", None, False),
        ("candle", 60, 1.1),
        ("candle", 60, 1.2),
        ("repeat",),
        ("lose",),
    ]
)
@examples(2.5)
def test_no_duplicate_no_unnamed_gap_no_step_back(script):
    asyncio.run(play(script))


async def play(script):
    game = Game()
    for kind, *values in script:
        await getattr(game, kind)(*values)
    await game.settle()
    await game.hub.check()
    await settle()
    for client in game.clients:
        check_client(client, game.world.store)
    await game.hub.stop()


class Game:
    """The steps of a script; `pending` are the messages that the bus still holds."""

    def __init__(self):
        self.world = World()
        self.hub = make_hub(self.world)
        self.pending, self.clients = [], []

    async def candle(self, time, close):
        self.pending += self.world.ingest(MINUTE, [candle(time, close)])

    async def batch(self, batch_times, close):
        self.pending += self.world.ingest(MINUTE, [candle(time, close) for time in batch_times])

    async def lose(self):
        del self.pending[:1]

    async def repeat(self):
        self.pending += self.pending[:1]

    async def swap(self):
        if self.pending:
            self.pending[0], self.pending[-1] = self.pending[-1], self.pending[0]

    async def join(self, time, supports_batch):
        """Join with the history up to a time, as read over HTTP."""
        known = [] if time is None else self.world.store.newest(MINUTE, 1000, up_to=time)
        since = known[-1].candle_time if known else None
        client = Client(since, supports_batch, known, self.world.store.state(MINUTE))
        self.clients.append(client)
        await self._subscribe(client, client.since)

    async def fail_over(self, lost, revisions):
        """Lose the newest candles and revisions; what the bus still holds may be of them."""
        self.world.fail_over(MINUTE, lost=lost, revisions=revisions)

    async def resume(self):
        """Drop the first client's connection; it resumes with its newest candle and epoch."""
        if not self.clients:
            return
        await settle()
        client = self.clients[0]
        client.read_wire(self.world.store)
        self.hub.leave(client.watcher)
        client.watcher = Watcher(RecordingWire())
        client.seen.clear()
        await self._subscribe(client, max(client.candles, default=client.since))

    async def settle(self):
        """Deliver everything that the bus holds."""
        while self.pending:
            self.world.layer.deliver(self.pending.pop(0))
        await settle()

    async def _subscribe(self, client, since):
        await self.hub.subscribe(
            client.watcher,
            MINUTE,
            since=since,
            supports_batch=client.supports_batch,
            epoch=client.state.epoch,
            generation=client.state.generation,
        )


def check_client(client, store):
    client.read_wire(store)
    assert client.seen == sorted(set(client.seen))
    stored = {row.candle_time: row.close for row in store.newest(MINUTE, 1000)}
    floor = client.since if client.since is not None else min(client.candles, default=10**9)
    wanted = {time: close for time, close in stored.items() if time >= floor}
    assert {time: close for time, close in client.candles.items() if time >= floor} == wanted
    # A time that was skipped without a gap message must not exist.
    if client.followed:
        expected = set(range(client.followed[0], client.followed[-1] + 60, 60))
        assert expected - set(client.candles) <= client.named


# Cut off from bus and store


@pytest.fixture
async def hasty(world):
    """A hub that checks often and has a short timeout."""
    hub = make_hub(world, check_interval=0.01, timeout_s=0.1)
    yield hub
    await hub.stop()


async def test_process_without_bus_and_store_closes_its_watchers(world, hasty):
    watcher = await follow(hasty)
    world.store_is_away = True
    await eventually(lambda: watcher.wire.closed == (1013, "instance_cut_off"))


async def test_watchers_stay_while_the_bus_answers(world, hasty):
    world.ingest(MINUTE, candles(60))
    watcher = await follow(hasty)
    world.store_is_away = True
    for number in range(40):
        world.layer.deliver(FormingCandle(MINUTE, candle(120, close=1 + number / 100)))
        await asyncio.sleep(0.01)
    assert watcher.wire.is_open
    assert watcher.wire.of_type("candle_forming")


async def test_watchers_stay_while_the_store_answers(world):
    world.layer.down = True
    hub = make_hub(world, check_interval=0.01, timeout_s=0.1)
    watcher = await follow(hub)
    reads = world.reads
    await eventually(lambda: world.reads > reads + 40)
    assert watcher.wire.is_open
    await hub.stop()
