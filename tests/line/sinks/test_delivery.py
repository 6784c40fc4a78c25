"""The outbox, and its delivery to a webhook that fails at will."""

import hmac
import itertools
import json
import random
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ssim_ae.errors import InputError
from ssim_ae.line import outbox, schema
from ssim_ae.line.inspection_log import MAX_SENT_DEFECTS, InspectionLog, message_data
from ssim_ae.line.sinks import delivery
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.line.sinks.places import sinks_of
from ssim_ae.line.sinks.sink import Sink

from ..conftest import BOTTLE, KEEP_ALL, NOON, record
from .conftest import wait_until
from .receivers import first_deliveries, receiving


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def log(request, tmp_path):
    place = str(tmp_path / "log")
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres")
        with InspectionLog.open(place) as opened, opened.database.write() as connection:
            schema.metadata.drop_all(connection)
    with InspectionLog.open(place, station="line-1", rule=KEEP_ALL, images=tmp_path / "images") as opened:
        yield opened


def rows(log):
    with log.database.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.outbox)).scalar_one()


def deliver(log, *receivers):
    return Deliveries(log, sinks_of([receiver.url for receiver in receivers], log.station))


class Fake(Sink):
    """Keeps what it is sent, and fails while `error` is set."""

    at_once = 3

    def __init__(self, name="fake:", error=None):
        super().__init__(name)
        self.sent, self.error = [], error

    def send(self, messages):
        if self.error:
            raise self.error
        self.sent += [message.number for message in messages]


def test_a_message_says_what_the_log_says(log):
    with receiving() as receiver, deliver(log, receiver):
        record(log, 1, score=1.5)
        record(log, 2, error="2.png: not an image, or corrupt")
        wait_until(lambda: len(receiver.received) == 2)
    (path, headers, body), _ = receiver.requests
    first, second = receiver.received
    assert path == "/parts" and headers["X-SSIM-AE-Id"] == first["id"] != second["id"]
    assert headers["X-SSIM-AE-Signature"] == f"sha256={hmac.new(b'secret', body, 'sha256').hexdigest()}"
    assert first == {
        "schema": 1,
        "number": 1,
        "id": first["id"],
        "kind": "inspection",
        "station": "line-1",
        "time": "2026-03-14T12:01:00.000Z",
        "data": {
            "inspection": 1,
            "station": "line-1",
            "source": "http",
            "name": "1.png",
            "image_hash": "",
            "width": 90,
            "height": 60,
            "detector": "bottle",
            "fingerprint": BOTTLE.fingerprint,
            "version": 1,
            "verdict": "nok",
            "score": 1.5,
            "threshold": 1.0,
            "milliseconds": 12.5,
            "error": "",
            "defects": [{"x": 1, "y": 2, "width": 3, "height": 4, "score": 1.5}],
            "defect_count": 1,
        },
    }
    data = second["data"]
    assert (data["verdict"], data["score"], data["error"]) == ("error", None, "2.png: not an image, or corrupt")


def test_the_example_of_the_documentation_has_the_fields_of_a_message(log):
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "messages.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json")[1].split("```")[0])
    with receiving() as receiver, deliver(log, receiver):
        record(log, score=1.5)
        wait_until(lambda: receiver.received)
    (message,) = receiver.received
    assert form(example) == form(message)


def form(value):
    """The names and types of a JSON value."""
    if isinstance(value, dict):
        return {name: form(part) for name, part in value.items()}
    return [form(part) for part in value] if isinstance(value, list) else type(value)


def test_a_message_has_a_limited_number_of_defects():
    row = dict.fromkeys(column.name for column in schema.inspections.columns)
    data = message_data(7, row | {"defects": json.dumps([{"x": x} for x in range(1000)])})
    assert data["defects"] == [{"x": x} for x in range(MAX_SENT_DEFECTS)] and data["defect_count"] == 1000


def test_a_receiver_that_fails_at_random_gets_all_in_order(log):
    chance = random.Random(1)
    with receiving(lambda: chance.choice((200, 200, 500, "drop", "drop after"))) as receiver:
        with deliver(log, receiver):
            for number in range(40):
                record(log, number)
            wait_until(lambda: rows(log) == 0, "the removal of what was delivered")
        assert first_deliveries(receiver.received) == list(range(1, 41))
        assert len({message["id"] for message in receiver.received}) == 40


def test_the_wait_before_a_retry_grows_only_while_nothing_is_delivered(log, monkeypatch):
    monkeypatch.setattr(delivery, "MAX_RETRY", 1000)
    faults = itertools.cycle((500, 200))
    with receiving(lambda: next(faults)) as receiver, deliver(log, receiver) as deliveries:
        with log.database.write() as connection:  # a whole batch at once
            for _ in range(30):
                outbox.add(connection, "drift", log.station, NOON, {})
        wait_until(lambda: len(receiver.received) == 30)
        wait_until(lambda: deliveries.states[0].failing_since is None)


def test_what_waits_is_delivered_after_a_restart(log):
    with receiving() as receiver:
        port = receiver.port
        with deliver(log, receiver):
            pass
    sinks = sinks_of([receiver.url], log.station)
    with Deliveries(log, sinks) as deliveries:
        for number in range(5):
            record(log, number)
        wait_until(lambda: deliveries.states[0].failing_since and deliveries.states[0].waiting == 5)
        assert deliveries.states[0].last_error == "Connection refused"
    assert rows(log) == 5
    record(log, 99)  # a server without sinks
    with receiving(port=port) as receiver, deliver(log, receiver) as deliveries:
        wait_until(lambda: len(receiver.received) == 5)
        record(log, 5)
        wait_until(lambda: deliveries.states[0].delivered == 6)
    assert [message["data"]["name"] for message in receiver.received] == [f"{number}.png" for number in range(6)]
    assert rows(log) == 0


def test_a_sink_that_fails_delays_no_other(log):
    working, failing = Fake("works:"), Fake("fails:", OSError("away"))
    with Deliveries(log, [working, failing]) as deliveries:
        for number in range(7):
            record(log, number)
        wait_until(lambda: len(working.sent) == 7)
        assert rows(log) == 7
        state = {state.name: state for state in deliveries.states}["fails:"]
        wait_until(lambda: state.waiting == 7 and state.last_error == "away")
        failing.error = None
        wait_until(lambda: rows(log) == 0)
        assert failing.sent == working.sent == list(range(1, 8)) and state.failing_since is None


@pytest.mark.parametrize("error", [OSError("away"), InputError("status 500"), RuntimeError("a bug"), ValueError()])
def test_an_outage_is_said_once(log, monkeypatch, capsys, error):
    monkeypatch.setattr(delivery, "OUTAGE", 0.1)
    sink = Fake(error=error)
    with Deliveries(log, [sink]) as deliveries:
        record(log)
        wait_until(lambda: capsys.readouterr().err.count("messages wait in the log and are sent again\n") == 1)
        failures = deliveries._deliveries[0]._failures
        wait_until(lambda: deliveries._deliveries[0]._failures > failures + 3)
        assert capsys.readouterr().err == ""
        sink.error = None
        wait_until(lambda: sink.sent == [1])
    assert capsys.readouterr().err == "fake:: works again\n"


def test_memory_holds_a_batch(log, monkeypatch):
    monkeypatch.setattr(delivery, "BATCH", 10)
    read = []
    original = delivery.messages_after
    monkeypatch.setattr(delivery, "messages_after", lambda *a: read.append(original(*a)) or read[-1])
    sink = Fake(error=OSError("away"))
    with Deliveries(log, [sink]) as deliveries:
        for number in range(35):
            record(log, number)
        wait_until(lambda: deliveries.states[0].waiting == 35)
        sink.error = None
        wait_until(lambda: len(sink.sent) == 35)
    assert max(map(len, read)) == 10


def test_the_certificate_of_a_receiver_is_checked(log, certificate, monkeypatch):
    with receiving(certificate=certificate) as receiver:
        with deliver(log, receiver) as deliveries:
            record(log)
            wait_until(lambda: "certificate verify failed" in deliveries.states[0].last_error)
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with deliver(log, receiver):
            wait_until(lambda: len(receiver.received) == 1)


def test_a_receiver_is_never_asked_elsewhere(log):
    with receiving(lambda: 302) as receiver, deliver(log, receiver) as deliveries:
        record(log)
        wait_until(lambda: len(receiver.requests) > 2)
        assert {path for path, _, _ in receiver.requests} == {"/parts"}
        assert deliveries.states[0].last_error == "status 302 (redirects are not followed)"


def test_a_connection_that_the_receiver_has_closed_is_no_failure(log):
    faults = iter(["drop after", 200])
    with receiving() as receiver, deliver(log, receiver) as deliveries:
        record(log)
        wait_until(lambda: len(receiver.received) == 1)
        receiver.fault = lambda: next(faults)
        record(log)
        wait_until(lambda: len(receiver.received) == 3)
        assert deliveries.states[0].last_error == ""


def test_what_was_delivered_is_removed_while_the_next_message_fails(log):
    class Stuck(Fake):
        at_once = 1

        def send(self, messages):
            if len(self.sent) == 2:
                raise OSError("away")
            super().send(messages)

    with Deliveries(log, [Stuck()]):
        for _ in range(5):
            record(log)
        wait_until(lambda: rows(log) == 3)


def test_a_number_is_never_used_twice(log):
    sink = Fake()
    with Deliveries(log, [sink]):
        for number in range(1, 4):
            record(log)
            wait_until(lambda: rows(log) == 0 and len(sink.sent) == number)  # noqa: B023
    assert sink.sent == [1, 2, 3]


def test_a_new_sink_gets_the_messages_from_now_on(log):
    first, second = Fake("first:", OSError("away")), Fake("second:")
    with Deliveries(log, [first]):
        record(log)
    with Deliveries(log, [first, second]):
        record(log)
        wait_until(lambda: second.sent == [2])
    first.error = None
    with Deliveries(log, [first]):
        wait_until(lambda: first.sent == [1, 2])


def test_a_sink_that_is_left_out_for_a_week_is_forgotten(log, monkeypatch):
    gone, other = Fake("gone:", OSError("away")), Fake("other:", OSError("away"))
    with Deliveries(log, [gone, other]):
        record(log)
    now = outbox._now()
    monkeypatch.setattr(outbox, "_now", lambda: now + 6 * outbox.DAY)
    with Deliveries(log, [other]):
        pass
    with Deliveries(log, [gone]) as deliveries:
        wait_until(lambda: deliveries.states[0].waiting == 1)
    other.error = None
    monkeypatch.setattr(outbox, "_now", lambda: now + 14 * outbox.DAY)
    with Deliveries(log, [other]):
        wait_until(lambda: other.sent == [1])
    assert rows(log) == 0, "nothing waits for the other"


def test_stations_do_not_send_each_other_s_messages(log, place):
    with InspectionLog.open(place, station="line-2") as other:
        if log.database.name != place:
            other.database = log.database
        own, others = Fake("own:"), Fake("others:")
        with Deliveries(log, [own]), Deliveries(other, [others]):
            record(log)
            record(other)
            record(log)
            wait_until(lambda: len(own.sent) == 2 and len(others.sent) == 1)
        assert sorted(own.sent + others.sent) == [1, 2, 3]


def test_threads_of_a_station_keep_the_order(log):
    sink = Fake()
    with Deliveries(log, [sink]):
        threads = [threading.Thread(target=lambda: [record(log, n) for n in range(10)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(sink.sent) == 40)
    assert sink.sent == sorted(set(sink.sent))


def test_another_kind_goes_through_the_same_outbox(log):
    sink = Fake()
    with Deliveries(log, [sink]):
        with log.database.write() as connection:
            log.send(connection, "drift", NOON, lambda: {"cause": "light"})
        wait_until(lambda: sink.sent == [1])


def test_a_row_that_is_not_written_sends_nothing(log, monkeypatch):
    sink = Fake()
    with Deliveries(log, [sink]):
        monkeypatch.setattr(log.images, "write", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(InputError, match="log: cannot be written"):
            record(log, data=b"image")
        monkeypatch.undo()
        assert rows(log) == 0
    assert sink.sent == []


def test_a_sink_that_cannot_be_opened_leaves_nothing(log):
    class Broken(Fake):
        def open(self):
            raise InputError("port in use")

    with pytest.raises(InputError, match="port in use"), Deliveries(log, [Fake(), Broken("broken:")]):
        pass
    assert log.wake_sinks is None
    record(log)
    assert rows(log) == 0
