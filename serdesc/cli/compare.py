"""serdesc compare"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from serdesc.cli.command import ConfigFile, Data, Set, command
from serdesc.errors import UserError


@command
def compare(
    data: Data,
    hyp_a: Annotated[
        Path,
        typer.Argument(
            metavar="HYP_A", help="hyp.jsonl, or an experiment with folds.", show_default=False
        ),
    ],
    hyp_b: Annotated[
        Path, typer.Argument(metavar="HYP_B", help="The reference system.", show_default=False)
    ],
    metric: Annotated[
        str, typer.Option("--metric", metavar="A,B", help="Names of metrics.")
    ] = "ua,wer",
    unit: Annotated[
        str, typer.Option("--unit", help="Unit of the tests: utterance, speaker or fold.")
    ] = "speaker",
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="FILE", help="JSON to write.")
    ] = None,
    config_files: ConfigFile = None,
    settings: Set = None,
) -> None:
    """Test whether system A is better than system B.

    Prints differences, 95 % intervals and one-tailed p-values with Holm's correction.

    Example:

        serdesc compare data/mini exp/mini exp/beta1 --metric ua,wer,cider
    """
    from serdesc import config as configs
    from serdesc.files import write_json
    from serdesc.scoring import comparisons as tables
    from serdesc.scoring import metrics, significance

    if unit not in significance.UNITS:
        raise UserError(f"--unit {unit}: not one of {', '.join(significance.UNITS)}")
    chosen = metrics.chosen(metric)
    config = configs.load(config_files, settings)
    comparisons, notes = significance.compare_all(data, hyp_a, hyp_b, chosen, config, unit)
    tables.show_comparisons(comparisons, notes, chosen, f"{hyp_a} over {hyp_b}")
    if out:
        rows = tables.comparison_rows(comparisons)
        write_json(out, {"a": str(hyp_a), "b": str(hyp_b), "comparisons": rows})
