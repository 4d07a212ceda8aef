"""What plots look like, whatever a name holds."""

import warnings

from matplotlib.figure import Figure

from gossamer_reports.style import lay_out, plot_style, shortened


def test_a_letter_that_the_font_lacks_is_drawn_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with plot_style():
            figure = Figure()
            figure.subplots().set_title("a network of \u540d")
            lay_out(figure)


def test_a_dollar_begins_no_formula() -> None:
    with plot_style():
        figure = Figure()
        title = figure.subplots().set_title("a$_{b$")
        lay_out(figure)
    assert not title.get_parse_math()


def test_a_long_name_leaves_room_for_the_rest() -> None:
    assert shortened("resnet18") == "resnet18"
    assert shortened("two\nlines") == "two lines"
    assert shortened("n" * 255) == "n" * 29 + "…"
