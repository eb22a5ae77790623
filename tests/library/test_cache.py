"""Cached arrays equal the computed ones, even after their files are damaged; a broken cache never loses a result."""

import errno
import json
import os
import pwd
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sbert_prune.system import cache
from sbert_prune.system.cache import MAX_BYTES, cache_folder, cached

ARRAYS = {"flat": np.arange(300, dtype=np.int32), "ends": np.array([3, 300], dtype=np.int64)}


class Computation:
    """Returns the same arrays on each call and counts the calls."""

    def __init__(self, arrays=ARRAYS):
        self.arrays, self.times = arrays, 0

    def __call__(self):
        self.times += 1
        return self.arrays


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The folder of the cache in a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sbert-prune"


def are_equal(actual, expected):
    return actual.keys() == expected.keys() and all(
        actual[name].dtype == array.dtype and np.array_equal(actual[name], array) for name, array in expected.items()
    )


def keep(kind, key, *, num_bytes=1000, used=0.0, max_bytes=MAX_BYTES):
    """Add an entry that was last used at the given time, and return its folder."""
    numbers = np.zeros(num_bytes - 128, dtype=np.uint8)  # the header of the file has 128 bytes
    cached(kind, key, Computation({"numbers": numbers}), max_bytes=max_bytes)
    folder = cache_folder() / kind / key
    os.utime(folder, (used, used))
    return folder


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.int32).reshape(3, 4),
        np.linspace(0, 1, 24, dtype=np.float16).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24)[::-2],
        np.array([], dtype=np.int64),
        np.zeros((2, 0, 3), dtype=np.float32),
        np.array(7.5),
    ],
    ids=["whole numbers", "half precision", "by columns", "backwards", "empty", "empty in the middle", "a scalar"],
)
def test_the_same_key_computes_once_and_gives_the_same_array(array):
    compute = Computation({"array": array})

    first, second = cached("tokens", "one", compute), cached("tokens", "one", compute)

    assert compute.times == 1
    assert are_equal(first, {"array": array})
    assert are_equal(second, {"array": array})


@pytest.mark.parametrize("other", [("tokens", "two"), ("teacher", "one")])
def test_another_key_or_kind_is_computed_for_itself(other):
    one, two = Computation(), Computation({"flat": np.ones(3)})

    cached("tokens", "one", one)
    arrays = cached(*other, two)

    assert are_equal(arrays, two.arrays)
    assert are_equal(cached("tokens", "one", one), ARRAYS)


def truncate(entry):
    os.truncate(entry / "flat.npy", 400)


def empty(entry):
    os.truncate(entry / "flat.npy", 0)


def overwrite(entry):
    (entry / "flat.npy").write_bytes(b"\x00" * 1328)


def lose_one(entry):
    (entry / "flat.npy").unlink()


def lose_all(entry):
    for path in entry.iterdir():
        path.unlink()


def change_one_value(entry):
    np.save(entry / "flat.npy", np.where(ARRAYS["flat"] == 7, 0, ARRAYS["flat"]))


def save_with_another_shape(entry):
    np.save(entry / "flat.npy", ARRAYS["flat"].reshape(3, 100))


def save_with_fewer_rows(entry):
    np.save(entry / "flat.npy", ARRAYS["flat"][:-1])


def add_one(entry):
    np.save(entry / "more.npy", ARRAYS["flat"])


def check_says(text):
    def damage(entry):
        (entry / "checks.json").write_text(text)

    return damage


def forget_one_in_the_check(entry):
    path = entry / "checks.json"
    path.write_text(json.dumps({"flat": json.loads(path.read_text())["flat"]}))


def keep_as_older_releases_did(entry):
    (entry / "checks.json").unlink()
    (entry / "names.json").write_text(json.dumps(list(ARRAYS)))


@pytest.mark.parametrize(
    "damage",
    [
        *(
            truncate,
            empty,
            overwrite,
            lose_one,
            lose_all,
            change_one_value,
            save_with_another_shape,
            save_with_fewer_rows,
            add_one,
        ),
        *(forget_one_in_the_check, keep_as_older_releases_did),
        *(check_says(text) for text in ("", "{}", "3", "null", '["flat", "ends"]', '{"flat": 3, "ends": "x"}')),
    ],
)
def test_a_damaged_entry_is_computed_again_and_kept(root, damage):
    compute = Computation()
    cached("tokens", "one", compute)
    damage(root / "tokens" / "one")

    again, kept = cached("tokens", "one", compute), cached("tokens", "one", compute)

    assert are_equal(again, ARRAYS)
    assert are_equal(kept, ARRAYS)
    assert compute.times == 2


@pytest.mark.parametrize("place", [".", "sbert-prune", "sbert-prune/tokens", "sbert-prune/tokens/one"])
def test_a_file_where_a_folder_should_be_costs_no_result(tmp_path, monkeypatch, place):
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).touch()

    arrays = cached("tokens", "one", Computation())

    assert are_equal(arrays, ARRAYS)


def test_a_user_without_a_home_gets_the_result(monkeypatch):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container that runs under any number

    arrays = cached("tokens", "one", Computation())

    assert are_equal(arrays, ARRAYS)


def test_a_full_disk_costs_no_result_and_nothing_half_written_stays(root, monkeypatch):
    def save(path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.np, "save", save)

    arrays = cached("tokens", "one", Computation())

    assert are_equal(arrays, ARRAYS)
    assert not list((root / "tokens").iterdir())


def test_a_computation_that_fails_leaves_nothing(root):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("tokens", "one", fail)

    assert not list(root.glob("*/*"))


def test_what_another_process_is_still_writing_is_not_read_and_stays(root):
    partial = root / "tokens" / ".one.0123abcd.partial"
    partial.mkdir(parents=True)
    np.save(partial / "flat.npy", np.ones(3))
    compute = Computation()

    arrays = cached("tokens", "one", compute)

    assert compute.times == 1
    assert are_equal(arrays, ARRAYS)
    assert (partial / "flat.npy").exists()


def test_what_another_process_is_still_writing_stays_where_room_is_short(root):
    partial = root / "tokens" / ".one.0123abcd.partial"
    partial.mkdir(parents=True)
    np.save(partial / "flat.npy", np.ones(300))

    cached("tokens", "two", Computation(), max_bytes=1000)

    assert (partial / "flat.npy").exists()


def test_the_least_recently_used_go_first():
    now = time.time()
    oldest, older, newer = (
        keep("tokens", "1", used=now - 300),
        keep("teacher", "2", used=now - 200),
        keep("tokens", "3", used=now - 100),
    )

    cached("tokens", "1", Computation())  # now the last one used
    newest = keep("tokens", "4", max_bytes=3500)

    assert [folder.exists() for folder in (oldest, older, newer, newest)] == [True, False, True, True]


def test_all_that_fits_stays():
    folders = [keep("tokens", str(number), used=number, max_bytes=4500) for number in range(4)]

    assert all(folder.exists() for folder in folders)


def test_what_is_larger_than_all_the_room_is_kept_alone():
    small = keep("tokens", "small")

    large = keep("teacher", "large", num_bytes=9000, max_bytes=1500)

    assert not small.exists()
    assert large.exists()


def test_arrays_in_use_stay_whole_when_their_entry_goes():
    cached("tokens", "one", Computation())
    arrays = cached("tokens", "one", Computation())

    keep("tokens", "two", max_bytes=0)

    assert not (cache_folder() / "tokens" / "one").exists()
    assert are_equal(arrays, ARRAYS)


def test_many_who_ask_at_once_all_get_the_whole_result():
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cached("tokens", "one", Computation()), range(64)))

    assert all(are_equal(arrays, ARRAYS) for arrays in results)


@pytest.mark.parametrize("value", ["", None])
def test_without_a_cache_folder_of_the_users_choice_it_lies_in_the_home_folder(tmp_path, monkeypatch, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME") if value is None else monkeypatch.setenv("XDG_CACHE_HOME", value)

    cached("tokens", "one", Computation())

    assert (tmp_path / ".cache" / "sbert-prune" / "tokens" / "one" / "flat.npy").is_file()
