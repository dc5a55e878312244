"""What the step kinds of revision 0004 do."""

from collections.abc import Callable, Mapping
from time import monotonic, sleep

from backend.services.orchestrator import StepCall

PULSE_S = 0.05
"""How often a sleeping step looks whether it should stop."""


class InterruptedStepError(Exception):
    """The step stopped because it was asked to."""


class RequestedError(Exception):
    """The step failed because its arguments say so."""


def echo(call: StepCall) -> object:
    """Return the arguments."""
    return dict(call.args)


def add(call: StepCall) -> object:
    """Add the numbers in `numbers` and the results of the steps this one depends on."""
    return sum(call.args.get("numbers", ())) + sum(call.inputs.values())


def doze(call: StepCall) -> object:
    """Wait for `seconds`."""
    end = monotonic() + call.args["seconds"]
    while (left := end - monotonic()) > 0:
        if call.should_stop():
            raise InterruptedStepError
        sleep(min(left, PULSE_S))
    return call.args["seconds"]


def fail(call: StepCall) -> object:
    """Raise, with `message`."""
    raise RequestedError(call.args.get("message", "as requested"))


HANDLERS: Mapping[str, Callable[[StepCall], object]] = {"echo": echo, "sum": add, "sleep": doze, "fail": fail}
