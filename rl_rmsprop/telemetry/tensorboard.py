"""What TensorBoard shows, as summaries of its event files: a view of what metrics.csv holds.

All values of a step go into one record, each tag once (the fast loader drops a second value of the same step). Values that range
over many powers of ten stand there by their decimal logarithm too, since the viewer's axes begin linear.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterable, Mapping, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import summary as torch_summary

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.telemetry.sinks import Histogram
from rl_rmsprop.telemetry.tags import CHARTS, ENVIRONMENT_TAGS, LOGARITHMIC, TAGS, log10_tag

PARTS = ("iqm", "low", "high")
"""What an aggregate holds of each tag: the IQM over seeds, and the ends of its interval."""


def scalars(values: Mapping[str, float]) -> Summary:
    """All scalars of one step in one summary, which the next call changes; NaN is left out, since a curve cannot show it."""
    numbers = {tag: value for tag, value in values.items() if value == value}
    numbers |= {log10_tag(tag): math.log10(numbers[tag]) for tag in LOGARITHMIC if numbers.get(tag, 0.0) > 0.0}
    summary = summary_of(tuple(numbers))
    for entry, value in zip(summary.value, numbers.values(), strict=True):
        entry.simple_value = value
    return summary


@functools.lru_cache(maxsize=64)
def summary_of(tags: tuple[str, ...]) -> Summary:
    """A summary with these tags: making one takes four times as long as setting its values."""
    return Summary(value=[Summary.Value(tag=tag) for tag in tags])


def histogram(tag: str, shown: Histogram) -> Summary:
    """A distribution."""
    edges, counts, *numbers, size = shown
    low, high, total, squares = numbers
    return torch_summary.histogram_raw(tag, low, high, size, total, squares, edges[1:].tolist(), counts.tolist())


def layout(shifting: bool, env_ids: Sequence[str] = ()) -> Summary:
    """The Custom Scalars tab: for each of these environments the arms with their intervals over seeds, then single runs.

    The chart of the true regime is there only if environments are `shifting`.
    """
    charts = {title: tags for title, tags in CHARTS.items() if shifting or tags not in ENVIRONMENT_TAGS}
    runs = {title: ["Multiline", [f"^{log10_tag(tag) if tag in LOGARITHMIC else tag}$"]] for title, tag in charts.items()}
    categories = {
        # TensorBoard shows margin charts of a category last to first.
        f"{env_id}: arms, IQM over seeds with its 95 % interval": {
            title: ["Margin", [aggregate_tag(env_id, tag, part) for part in PARTS]]
            for title, tag in reversed(charts.items())
            if tag in TAGS
        }
        for env_id in env_ids
    }
    return torch_summary.custom_scalars({**categories, "Runs": runs})


def aggregate_tag(env_id: str, tag: str, part: str) -> str:
    """The tag under which the run of an arm holds one of the PARTS of a tag in an environment."""
    return f"{env_folder(env_id)}/{tag.replace('/', '_')}/{part}"


def image(tag: str, png: bytes) -> Summary:
    """A PNG for the Images tab."""
    width, height = struct.unpack(">II", png[16:24])
    return Summary(
        value=[Summary.Value(tag=tag, image=Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png))]
    )


def text(tag: str, markdown: str) -> Summary:
    """A text for the Text tab."""
    return torch_summary.text(tag, markdown)


def hparams(values: Mapping[str, str | float], metrics: Iterable[str], group: str) -> list[Summary]:
    """The HParams tab: settings of this run, the scalars to show for it, and the group (arm) to average over.

    Every run of a study must give the same keys: the tab takes its columns from the first run it finds.
    """
    experiment, start, end = torch_summary.hparams(dict(values), dict.fromkeys(metrics, 0.0))
    data = HParamsPluginData.FromString(start.value[0].metadata.plugin_data.content)
    data.session_start_info.group_name = group
    start.value[0].metadata.plugin_data.content = data.SerializeToString()
    return [experiment, start, end]


def preamble(values: Mapping[str, str | float], group: str, aggregated: bool, shifting: bool) -> list[Summary]:
    """What a run's event file begins with, at step 0: settings (see `hparams`), and charts unless aggregates bring theirs."""
    settings = hparams(values, ("eval/mean_reward", "rollout/ep_rew_mean"), group)
    return settings if aggregated else [*settings, layout(shifting)]
