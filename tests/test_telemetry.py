"""Files that others read: TensorBoard must understand the events, and numbers must survive the table."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from rl_rmsprop.cli import main
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.telemetry import event_file, tags, tensorboard
from rl_rmsprop.telemetry.csv_table import Table, read_growing, read_table
from rl_rmsprop.telemetry.event_file import EventFile, replace_events
from rl_rmsprop.telemetry.sinks import histograms
from tests.builders import batch_of


def test_numbers_come_back_from_a_table_exactly(tmp_path: Path) -> None:
    """A rounded table would make two different runs look the same."""
    values = {"a": 0.1 + 0.2, "b": 1e-300, "c": -0.0}
    table = Table(tmp_path / "t.csv", ("a", "b", "c", "missing"))
    table.add(values)
    table.add({"a": 1.0})
    table.close()
    columns = read_table(tmp_path / "t.csv")
    assert [columns[k][0] for k in "abc"] == [values[k] for k in "abc"]
    assert np.isnan(columns["missing"]).all()
    assert np.isnan(columns["b"][1])


def test_a_table_is_read_while_it_is_written(tmp_path: Path) -> None:
    """The last line may be half of a number: 12 of 123.5 would be a point of the curve."""
    path = tmp_path / "t.csv"
    path.write_text("step,a,b\n1,,2.5\n2,0.1,3.5\n3,0.2,12")
    columns = read_growing(path, ("step", "b", "a"))
    assert [columns[name].tolist() for name in ("step", "b")] == [[1.0, 2.0], [2.5, 3.5]]
    assert np.isnan(columns["a"][0])
    path.write_text("step,a,b\n")
    assert len(read_growing(path, ("step",))["step"]) == 0
    for broken in ("", "step,b\n", "step,a,b\n1,2\n"):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"not in list|cells in each line"):
            read_growing(path, ("step", "a"))


def test_the_checksum_is_tensorboards() -> None:
    """TensorBoard drops a whole file behind a record whose checksum it does not like."""
    for data in (b"", b"x", bytes(range(256)) * 5):
        assert event_file.checksum(data) == np.uint32(masked_crc32c(data)).tobytes()


def test_tensorboard_reads_back_scalars_histograms_and_layout(tmp_path: Path) -> None:
    """An event file in a slightly wrong form shows as an empty page."""
    events = EventFile(tmp_path)
    events.add(0, tensorboard.layout(shifting=False))
    for step in (10, 20):
        events.add(step, tensorboard.scalars({"optim/beta": 0.9 + step / 1000, "optim/window": float("nan")}))
    values = np.array([-30.0, -1.0, -1.0, 2.0, 99.0])
    edges = np.linspace(-4, 4, 9)
    both = histograms(np.stack([values + 1, values]), edges)
    other, summary = (tensorboard.histogram("hist/log10_E", of_run) for of_run in both)
    events.add(20, other)
    events.add(30, summary)
    events.close()
    read = EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in read.Scalars("optim/beta")] == [(10, 0.91), (20, 0.92)]
    assert "optim/window" not in read.Tags()["scalars"]
    for shown, x in zip(read.Histograms("hist/log10_E"), (values + 1, values), strict=True):
        inside, histogram = np.clip(x, -4, 4), shown.histogram_value
        assert (histogram.num, histogram.min, histogram.max, histogram.sum) == (len(x), inside.min(), inside.max(), inside.sum())
        counted = dict(zip(histogram.bucket_limit, histogram.bucket, strict=True))
        assert [counted.get(end, 0) for end in edges[1:]] == np.histogram(inside, edges)[0].tolist()
    assert "custom_scalars__config__" in read.Tags()["tensors"]


def test_the_window_of_beta_is_charted_by_its_logarithm(tmp_path: Path) -> None:
    """On a linear axis β = 0.99 and 0.999 are one line, and the windows 10 and 100 are one beside 1000."""
    events = EventFile(tmp_path)
    events.add(0, tensorboard.layout(shifting=False))
    events.add(10, tensorboard.scalars({"optim/beta": 0.99, "optim/window": 100.0, "optim/E_q50": 0.0}))
    events.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert read.Tags()["scalars"] == ["optim/beta", "optim/window", "optim/E_q50", "optim/log10_window"]
    assert read.Scalars("optim/log10_window")[0].value == 2.0
    layout = read.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0].decode(errors="replace")
    assert "log₁₀ window 1/(1−β)" in layout
    assert "^optim/log10_window$" in layout


def test_a_replaced_event_file_takes_the_place_of_the_old_one_in_an_open_viewer(tmp_path: Path) -> None:
    """Old points beside new ones make a zigzag; a file that is removed first makes the run disappear."""
    accumulator = EventAccumulator(str(tmp_path))
    for value in (1.0, 2.0, 3.0, 4.0):
        curve = [(step, tensorboard.scalars({"a": value})) for step in (10, 20)]
        replace_events(tmp_path, curve, rank=3)
        assert [(e.step, e.value) for e in accumulator.Reload().Scalars("a")] == [(10, value), (20, value)]
        assert EventAccumulator(str(tmp_path)).Reload().Scalars("a") == accumulator.Scalars("a")
    assert accumulator.FirstEventTimestamp() == 3.0
    assert len(list(tmp_path.iterdir())) == 2  # the one before is what an open viewer may stand on


def test_curves_made_again_from_the_tables_are_those_of_the_training(tmp_path: Path) -> None:
    """Silent failure: after a full disk the curves end in the middle, or come back under other names."""
    line = "train --env CartPole-v1 --steps 3000 --seeds 0-1 --beta cusum:arl=50 --eval-episodes 1 --workers 1 --out"
    assert main([*line.split(), str(tmp_path / "x"), "--shift", "gravity:values=9.8/25,at=1500"]) == 0
    first, second = ((tmp_path / "x" / "CartPole-v1" / "cusum_arl50" / f"seed_000{seed}") for seed in (0, 1))
    before = scalars(first)
    assert len(before) > 20
    for old in first.glob("events*"):
        old.unlink()
    (broken,) = second.glob("events*")
    broken.write_bytes(broken.read_bytes()[:1000])
    assert main(["report", str(tmp_path / "x")]) == 0
    assert scalars(first) == before
    assert len(scalars(second)) < len(before)  # it has a file, which report does not look into unless it is told to
    assert main(["report", str(tmp_path / "x"), "--rebuild-curves"]) == 0
    assert scalars(first) == before
    assert scalars(second).keys() == before.keys()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_hparams_name_the_arm_as_group(tmp_path: Path) -> None:
    """Without the group the HParams tab shows every seed as a setting of its own."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    _, start, _ = tensorboard.hparams({"lr": 1e-3, "arm": "0.99"}, ["eval/mean_reward"], "0.99")
    data = HParamsPluginData.FromString(start.value[0].metadata.plugin_data.content)
    assert data.session_start_info.group_name == "0.99"
    assert data.session_start_info.hparams["lr"].number_value == 1e-3


@pytest.mark.parametrize("updates", [1, 7, 159, 160, 161, 10_000, 123_457])
def test_a_tag_gets_at_most_as_many_points_as_the_viewer_keeps(updates: int) -> None:
    """The viewer silently samples beyond 1000 points, and a one-step dip of β would vanish."""
    assert 1 <= -(-updates // tags.logging_steps(updates)) <= tags.POINTS + 1 < 1000


def test_training_goes_on_when_the_event_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A view that fails must not cost the numbers."""

    class NoCurves(atomic.Disk):
        def write(self, file, data):  # type: ignore[no-untyped-def]
            if "tfevents" in file.name:
                raise OSError(28, "No space left on device")
            super().write(file, data)

    monkeypatch.setattr(atomic, "disk", NoCurves())
    batch = batch_of(str(tmp_path), "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.99"), (0,), 2000, 1)
    train_batch(batch)
    assert len(read_table(batch.run_folder(0) / "metrics.csv")["step"]) == 16
    output = capfd.readouterr().err
    assert output.count("no curves in TensorBoard from here on: [Errno 28] No space left on device") == 1
    assert output.endswith("the numbers go on in metrics.csv\n")
