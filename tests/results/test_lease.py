"""Who may write: one driver at a time, told by a small object that changes while its owner lives."""

import json
import threading
import time

import pytest

from hqc_ray.errors import ResultsError
from hqc_ray.results import lease as room
from hqc_ray.results.lease import Lease


class Place:
    """Where a lease lies: its bytes, and what happens on a look at it."""

    def __init__(self, content=None):
        self.content, self.looks, self.writes, self.on_look, self.lock = content, 0, 0, None, threading.Lock()

    def read(self):
        with self.lock:
            self.looks += 1
            if self.on_look:
                self.on_look(self)
            return self.content

    def write(self, content):
        with self.lock:
            self.writes, self.content = self.writes + 1, content

    def delete(self):
        self.content = None

    def lease(self, report=lambda _: None):
        return Lease(self.read, self.write, self.delete, "there", report)


def of_another(age=0.0, **facts):
    return json.dumps({"host": "far", "pid": 7, "token": "other", "renewed": time.time() - age, **facts}).encode()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, value in (("RENEW_SECONDS", 0.02), ("STALE_SECONDS", 0.15), ("SETTLE_SECONDS", 0.01)):
        monkeypatch.setattr(room, name, value)


def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_free_place_is_taken_kept_fresh_and_given_back():
    place = Place()
    lease = place.lease()
    lease.acquire()
    first = json.loads(place.content)
    until(lambda: json.loads(place.content)["renewed"] > first["renewed"])
    assert json.loads(place.content)["token"] == first["token"] == lease.token
    assert not lease.lost
    lease.release()
    assert place.content is None
    writes = place.writes
    time.sleep(0.1)
    assert place.writes == writes  # nothing renews it any more


def test_a_live_driver_is_seen_by_its_changes_and_not_by_its_clock():
    for age in (0.0, 300.0, -300.0):
        place, lines = Place(of_another(age)), []

        def alive(place, age=age):
            place.content = of_another(age, count=place.looks)

        place.on_look = alive
        with pytest.raises(
            ResultsError, match=r"^there: another driver is at work on this storage: process 7 on far \(valid: wait for it"
        ):
            place.lease(lines.append).acquire()
        assert place.writes == 0
        assert lines == ["there has the lease of process 7 on far: watching for 0 s whether it is alive"]


@pytest.mark.parametrize(
    ("content", "watched"),
    [
        (of_another, True),
        (lambda: of_another(room.FORGOTTEN_SECONDS + 60), False),
        (lambda: of_another(-room.FORGOTTEN_SECONDS - 60), False),
        (b"{damaged".strip, False),
        (b"[1]".strip, False),
    ],
    ids=["fresh", "old", "of tomorrow", "damaged", "of another form"],
)
def test_a_lease_that_nobody_renews_is_taken_over_an_old_or_damaged_one_at_once(content, watched):
    place, lines = Place(content()), []
    lease = place.lease(lines.append)
    began = time.monotonic()
    lease.acquire()
    assert (time.monotonic() - began > room.STALE_SECONDS) or not watched
    assert len(lines) == watched
    assert json.loads(place.content)["token"] == lease.token
    lease.release()


def test_a_lease_that_is_given_back_meanwhile_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(room, "STALE_SECONDS", 30.0)
    place = Place(of_another())

    def given_back(place):
        if place.looks == 2:
            place.content = None

    place.on_look = given_back
    lease = place.lease()
    lease.acquire()
    assert place.looks == 3
    lease.release()


def test_of_two_that_start_at_once_the_one_that_wrote_last_has_it():
    place = Place()

    def overtaken(place):
        if place.writes:
            place.content = of_another()

    place.on_look = overtaken
    with pytest.raises(ResultsError, match="process 7 on far"):
        place.lease().acquire()
    place = Place()
    place.write = lambda _: None  # and one whose write is gone
    with pytest.raises(ResultsError, match=r"process \? on \?"):
        place.lease().acquire()


def test_a_driver_that_was_asleep_finds_itself_replaced_and_leaves_the_other_alone():
    place = Place()
    lease = place.lease()
    lease.acquire()
    place.write(of_another())
    until(lambda: lease.lost)
    lease.release()
    assert json.loads(place.content)["token"] == "other"  # noqa: S105


def test_a_short_outage_is_outlived():
    place = Place()
    lease = place.lease()
    lease.acquire()

    def away(_):
        raise OSError("away")

    place.on_look = away
    looks = place.looks
    until(lambda: place.looks > looks + 2)
    place.on_look = None
    writes = place.writes
    until(lambda: place.writes > writes)
    assert not lease.lost
    place.on_look = away
    lease.release()  # says nothing; the lease goes stale
    assert place.content is not None
