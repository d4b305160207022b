from __future__ import annotations

import pytest

from lab.drills.soak import Samples, end_of, write_graphs


def samples_of(values):
    samples = Samples()
    samples.curves["memory, MiB"]["web1"] = [
        (each / 12, value) for each, value in enumerate(values)
    ]
    return samples


def test_end_of_a_curve_are_medians_of_its_last_two_quarters():
    assert end_of([(0, 1), (1, 2), (2, 3), (3, 4)]) == (3, 4)
    assert end_of([(0, 7)]) == (7, 7)


@pytest.mark.parametrize(
    "values", [[100] * 40, [50] * 10 + [100] * 30, [*range(60, 100), *[100] * 80]]
)
def test_settled_curve_is_flat(values):
    assert samples_of(values).growing() == []


def test_growing_curve_is_named():
    (growth,) = samples_of(list(range(100, 300, 2))).growing()
    assert growth.startswith("memory, MiB of web1: ")


def test_every_figure_has_a_graph(tmp_path):
    write_graphs(tmp_path, samples_of([100, 110, 120]).curves)
    picture = (tmp_path / "soak-memory.svg").read_text()
    assert picture.startswith("<svg")
    assert "web1" in picture
