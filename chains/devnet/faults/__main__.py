"""`python -m chains.devnet.faults`: a fault proxy in front of a node, for rehearsals.

The first line on standard output says, as JSON, where it listens and where it is controlled; each step that a script
takes is one more line. It runs until Ctrl-C. Name the node by `--upstream`, or, where the URL holds a key, in the
environment (`FAULTS_UPSTREAM`), so that the list of processes doesn't show it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from chains.devnet.faultproxy import FaultProxy
from chains.devnet.faults.catalogue import FaultInvalid, described
from chains.devnet.faults.script import Script, Step, as_table, load_script


@click.command(help=__doc__)
@click.option("--upstream", envvar="FAULTS_UPSTREAM", default="", help="URL of the JSON-RPC node behind.")
@click.option("--script", type=click.Path(path_type=Path), help="Steps to follow from the start (.toml or .json).")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0: a free one.")
@click.option("--list", "listed", is_flag=True, help="Print every fault with its fields and defaults, and stop.")
def main(upstream: str, script: Path | None, port: int, listed: bool) -> None:
    """Run until a signal asks to stop."""
    if listed:
        for name, sentence, fields in described():
            click.echo(json.dumps({"fault": name, **fields}))
            click.echo(f"    {sentence}\n")
        return
    if urlsplit(upstream).scheme not in {"http", "https"}:
        raise click.UsageError("--upstream wants the http(s) URL of a node.")
    try:
        steps = None if script is None else load_script(script)
        asyncio.run(_run(upstream, port, steps))
    except (FaultInvalid, OSError) as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)


async def _run(upstream: str, port: int, script: Script | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FaultProxy(upstream, port=port, observe=_tell) as proxy:
        click.echo(json.dumps({"url": proxy.url, "control": proxy.url + "_fault", "script": proxy.url + "_script"}))
        if script is not None:
            proxy.run(script)
        await stop.wait()


def _tell(step: Step) -> None:
    click.echo(json.dumps(as_table(step)))


if __name__ == "__main__":
    main()
