"""Error classes: their exit codes and the helper that lists what is accepted."""

import inspect

import pytest

from mobile_seg import errors


def test_a_wrong_call_exits_with_2_and_a_failure_with_1() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.__name__ for kind in classes if kind.exit_code == 2} == {"UsageError"}
    assert all(issubclass(kind, errors.MobileSegError) and kind.__doc__ for kind in classes)


def test_choosing_returns_what_is_accepted() -> None:
    assert errors.choose("fruit", "pear", ("apple", "pear")) == "pear"


def test_choosing_names_the_argument_the_choices_and_the_nearest() -> None:
    with pytest.raises(errors.UsageError) as caught:
        errors.choose("fruit", "paer", ("apple", "pear"))
    assert str(caught.value) == "fruit='paer' is not known; choose from apple, pear. Did you mean 'pear'?"
    with pytest.raises(errors.UsageError) as caught:
        errors.choose("fruit", "xyz", ["apple", "pear"])
    assert str(caught.value) == "fruit='xyz' is not known; choose from apple, pear."
