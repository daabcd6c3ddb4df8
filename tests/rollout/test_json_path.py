import pytest

from router.rollout.json_path import covers, path_of


@pytest.mark.parametrize(
    ("path", "place", "yes"),
    [
        ("a.b", "a.b", True), ("a.b", "a", False), ("a.b", "a.b.c", False), ("$.a", "a", True), ("*.b", "x.b", True),
        ("*.b", "b", False), ("**.b", "b", True), ("**.b", "x.y.b", True), ("**.b", "x.b.y", False),
        ("a.**.b.**", "a.b", True), ("a.**.b.**", "a.x.b.y.z", True), ("a.**.b.**", "a.x.c", False), ("**", "", True),
    ],
)  # fmt: skip
def test_a_path_names_a_place(path: str, place: str, yes: bool) -> None:
    assert covers(path_of(path), place.split(".") if place else []) is yes


@pytest.mark.parametrize("text", ["", "a..b", ".a", "$."])
def test_what_is_no_path_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no path into JSON: write it as"):
        path_of(text)
