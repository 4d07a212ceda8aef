import pickle

import pytest

from gossamer_models.errors import DoesNotFitError, GossamerError, InputError, UnsupportedError


def test_input_error_names_file_path_fault_and_remedy() -> None:
    error = InputError("must be positive, not 0", "an integer above 0", "net.yaml", "layers[2].kernel")
    assert str(error) == "net.yaml: layers[2].kernel: must be positive, not 0; expected an integer above 0"


def test_parts_that_are_not_known_leave_no_trace() -> None:
    assert str(InputError("bad")) == "bad"
    assert str(InputError("bad", path="a.b")) == "a.b: bad"
    assert str(InputError("bad", "good")) == "bad; expected good"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\n\n\tb", " a b ", "a\u2028b", "a\x85b"])
def test_message_is_one_line(text: str) -> None:
    for error in (GossamerError(text), InputError(text), UnsupportedError(text)):
        assert str(error) == "a b"


def test_does_not_fit_carries_demand_bound_and_remedy() -> None:
    error = DoesNotFitError("layer 'c' overflows the A buffer", 12, 8, "words", "enlarge buffers.a_words", "arch.yaml")
    assert (error.demand, error.bound, error.unit, error.remedy) == (12, 8, "words", "enlarge buffers.a_words")
    assert str(error) == (
        "arch.yaml: layer 'c' overflows the A buffer: needs 12 words, has 8; remedy: enlarge buffers.a_words"
    )


@pytest.mark.parametrize(
    "error",
    [
        InputError("what", "expected", "file", "path"),
        UnsupportedError("what", source="file"),
        DoesNotFitError("what", 2, 1, "bytes", "shrink it", "file", "path"),
    ],
)
def test_errors_survive_pickling(error: InputError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_is_an_input_error_and_a_gossamer_error() -> None:
    assert issubclass(DoesNotFitError, InputError)
    assert issubclass(UnsupportedError, InputError)
    assert issubclass(InputError, GossamerError)
