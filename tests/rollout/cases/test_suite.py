import pytest

from router.rollout.cases.suite import StoredCase, expired, to_drop


def held(name: str, added_at: float = 0.0, size_bytes: int = 10, captured: bool = True) -> StoredCase:
    return StoredCase(name, added_at, size_bytes, captured)


OLD, YOUNG, WRITTEN = held("old", 1.0), held("young", 2.0), held("written", 0.0, captured=False)


@pytest.mark.parametrize(
    ("suite", "new", "cases_max", "bytes_max", "dropped"),
    [
        pytest.param([], held("n"), 1, 10, [], id="the first"),
        pytest.param([], held("n", size_bytes=11), 1, 10, None, id="too large for any suite"),
        pytest.param([YOUNG, OLD], held("n"), 2, 100, ["old"], id="the oldest goes"),
        pytest.param([YOUNG, OLD], held("n"), 9, 25, ["old"], id="by bytes, too"),
        pytest.param([YOUNG, OLD], held("n", size_bytes=20), 9, 25, ["old", "young"], id="as many as it takes"),
        pytest.param([WRITTEN, YOUNG], held("n"), 2, 100, ["young"], id="what a person wrote stays"),
        pytest.param([WRITTEN], held("n"), 1, 100, None, id="and may leave no room"),
        pytest.param([OLD, WRITTEN], held("old"), 2, 20, [], id="the same once more needs no room of its own"),
    ],
)
def test_room(
    suite: list[StoredCase], new: StoredCase, cases_max: int, bytes_max: int, dropped: list[str] | None
) -> None:
    assert to_drop(suite, new, cases_max, bytes_max) == dropped


def test_captured_cases_expire_and_written_ones_do_not() -> None:
    assert expired([OLD, YOUNG, WRITTEN], 101.5, 100.0) == ["old"]
    assert expired([OLD, YOUNG, WRITTEN], 102.0, 100.0) == ["old", "young"]
