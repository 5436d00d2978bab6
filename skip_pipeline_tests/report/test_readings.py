from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report import readings
from skip_pipeline_tests.report.contents import BALANCE, CONFUSION, HISTORY, LENGTHS, RELIABILITY, ROC


def test_the_headline_sets_the_network_beside_the_baselines() -> None:
    test = SplitScores(sessions=2013, accuracy=0.751, log_loss=0.5, roc_auc=0.8, brier=0.2)
    assert readings.headline(test, 0, 0.55, 0.612) == (
        "On 2,013 test sessions the network is right 75.1% of the time; always answering “skipped” is right "
        "55.0%, and repeating what the listener did with the track before, 61.2%."
    )


def test_class_balance() -> None:
    assert readings.class_balance(BALANCE) == (
        "The last track was skipped in 60.0% of the training sessions and 75.0% of the test sessions."
    )


def test_session_lengths() -> None:
    # 10 + 5 of 4 * 19 steps are padding.
    assert readings.session_lengths(LENGTHS) == (
        "50.0% of the sessions have all 20 tracks; shorter ones are padded in front, which makes 19.7% of "
        "all steps padding."
    )


def test_training_curves() -> None:
    assert readings.training_curves(HISTORY, 2) == (
        "Of 3 epochs, number 2 was kept: there the validation loss stopped falling, at 0.5000 after "
        "0.6500 in the first epoch, with 70.0% of the validation sessions right."
    )


def test_confusion_matrix() -> None:
    assert readings.confusion_matrix(CONFUSION) == (
        "Of 15 skipped tracks, 80.0% were predicted as skipped; of 5 tracks that were not skipped, 80.0% "
        "were predicted as not skipped."
    )


def test_roc() -> None:
    assert "the network gives the played one the higher probability 80.0% of the time" in readings.roc(ROC)


def test_calibration() -> None:
    # Off by 0.1 and by 0.2, in bins of the same size.
    assert readings.calibration(RELIABILITY).startswith("In 2 groups")
    assert "off by 15.0 percentage points" in readings.calibration(RELIABILITY)


def test_nothing_at_all_can_be_read() -> None:
    assert "none" in readings.class_balance({"train": (0, 0), "test": (0, 0)})
    assert "none" in readings.session_lengths({})
    assert "0.0 percentage points" in readings.calibration(())
