"""What the summary says to keep in mind: alarms of trainings, and test parts of few patients."""

from stages.summarize.cautions import cautions


def test_nothing_is_said_where_all_is_well():
    assert cautions({"pretrain mlip": {"git_commit": "1"}}, {"labels of ours": None, "pairs of ours": 20}) == []


def test_an_alarm_of_a_training_is_repeated():
    tags = {"git_commit": "1", "alarm_not_learned": "it has not"}
    assert cautions({"pretrain mlip": tags}, {}) == ["pretrain mlip: it has not"]


def test_a_small_test_part_is_named():
    (line,) = cautions({}, {"labels of ours": 19, "pairs of ours": 20})
    assert line.startswith("labels of ours: 19 patients in the test part, fewer than 20: its figures say little;")
