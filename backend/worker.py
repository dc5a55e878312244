"""The worker: `python -m backend.worker`, as many as you like, on as many machines as you like."""

import argparse
import asyncio
import logging

from procrastinate import App

from backend.database import conninfo, database_url, make_engine
from backend.services.orchestrator import RECOVER, Orchestrator, worker_app
from backend.steps import HANDLERS

RECOVERY_CRON = "* * * * *"


async def serve(app: App, concurrency: int) -> None:
    """Work until a signal says otherwise, and see every minute to the jobs of workers that died."""
    app.periodic(cron=RECOVERY_CRON)(app.tasks[RECOVER])
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m backend.worker", description=__doc__)
    parser.add_argument("--concurrency", type=int, default=4, help="steps at a time (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    url = database_url()
    engine = make_engine(url)
    app = worker_app(conninfo(url), Orchestrator(engine), HANDLERS)
    try:
        # Psycopg cannot use the event loop that is the default on Windows.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(serve(app, options.concurrency))
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
