import pytest

from router.rollout.json_pointer import covers, parse


@pytest.mark.parametrize(
    ("text", "place", "yes"),
    [
        ("/a/b", "a b", True), ("/a/b", "a", False), ("/a/b", "a b c", False), ("", "", True), ("", "a", False),
        ("/*/b", "x b", True), ("/*/b", "b", False), ("/**/b", "b", True), ("/**/b", "x y b", True),
        ("/**/b", "x b y", False), ("/a/**/b/**", "a b", True), ("/a/**/b/**", "a x b y z", True),
        ("/a/**/b/**", "a x c", False), ("/**", "", True), ("/a~1b", "a/b", True),
    ],
)  # fmt: skip
def test_a_pointer_names_a_place(text: str, place: str, yes: bool) -> None:
    assert covers(parse(text, any_depth=True), place.split()) is yes


def test_any_depth_is_refused_where_it_is_not_understood() -> None:
    with pytest.raises(ValueError, match=r"'/\*\*/b': \*\* is not understood here"):
        parse("/**/b")
