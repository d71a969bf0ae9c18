"""A run folder as a run of five seconds leaves it."""

from pathlib import Path

from loadprobe.clock import ClockPair
from loadprobe.config.file import parse_config
from loadprobe.core.events import RunEnded, RunStarted
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.verdict.measured import Measured
from loadprobe.core.verdict.verdict import summarize
from loadprobe.outputs.folder import documents
from loadprobe.outputs.folder.folder import RunFolder

MS = 1_000_000
S = 1_000 * MS
CLOCK = ClockPair(0, 1_767_323_045 * S)
CONFIG = '[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n'


def write_run(parent: Path) -> Path:
    """Write a run of 5 s at 1,000/s on two shards, 0002 dark from 2 s to 3 s."""
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250 * MS)])
    aggregate.start_process(0, 0)
    run = RunFolder.create(parent, "run", clock=CLOCK)
    for second in range(5):
        blocks: dict[Scope, Block] = {}
        for shard in ("0001", "0002"):
            block = blocks[Scope("tcp", shard, OpKind.READ)] = Block()
            for due in range(second * S, (second + 1) * S, MS):
                if shard == "0002" and second == 2:
                    row = (due, due, due + 1000, Outcome.REFUSED, ErrorClass.LOADING)
                    block.add_failure(Failure(*row, due, due + 1000))
                else:
                    block.add_served(due, due + 1000, due + 400_000)
        aggregate.add(0, blocks, watermark_ns=(second + 1) * S)
        run.take_sealed(aggregate.seal())
    results = aggregate.finish(5 * S)
    run.take_sealed(results.last)
    run.take_event(RunStarted(S, "run"))
    run.take_event(RunEnded(5 * S, "outage"))
    verdict = summarize(Measured(results, CLOCK, S))
    info = documents.describe_run(
        parse_config(CONFIG, where="run.toml"),
        start=documents.moment(CLOCK, 0),
        scenario=None,
    )
    run.write_document(documents.RUN, info)
    run.write_document(documents.SUMMARY, verdict.summary)
    run.write_document(documents.OUTAGES, verdict.outages)
    path = run.close()
    assert run.problems == []
    return path
