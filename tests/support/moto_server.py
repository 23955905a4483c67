"""Moto's server for the tests: key pairs that it hands out open the tests' sshd, and states take the seconds given as
P (pending), S (stopping), A (image), T (shutting down) in the environment. AUTHORIZED_KEYS names sshd's file, CALLS a file that
gets a line for each call."""

import os
import sys
import threading

import moto.ec2.models.amis as amis
import moto.ec2.models.instances as instances
import moto.ec2.models.key_pairs as key_pairs
from moto.core.responses import BaseResponse
from moto.server import main

SECONDS = {name: float(os.environ.get(name, "0")) for name in "PSAT"}


def later(name, change):
    timer = threading.Timer(SECONDS[name], change)
    timer.daemon = True
    timer.start()


def wrapped(owner, name, after):
    original = getattr(owner, name)

    def call(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        after(self, result)
        return result

    setattr(owner, name, call)


def authorize(_, pair):
    public = pair.material_public
    public = public.decode() if isinstance(public, bytes) else public
    with open(os.environ["AUTHORIZED_KEYS"], "a", encoding="utf-8") as keys:
        keys.write(public.strip() + "\n")


def through(seconds, between, finally_):
    """An instance's state that goes through `between` for a while."""

    def after(instance, _):
        if SECONDS[seconds] <= 0:
            return
        state = instance._state
        state.name, state.code = between

        def end():
            if state.name == between[0]:
                state.name, state.code = finally_

        later(seconds, end)

    return after


def pending_image(_, image):
    if SECONDS["A"] > 0:
        image.state = "pending"
        later("A", lambda: setattr(image, "state", "available"))


wrapped(key_pairs.KeyPairBackend, "create_key_pair", authorize)
wrapped(key_pairs.KeyPairBackend, "import_key_pair", authorize)
wrapped(instances.Instance, "__init__", through("P", ("pending", 0), ("running", 16)))
wrapped(instances.Instance, "stop", through("S", ("stopping", 64), ("stopped", 80)))
wrapped(instances.Instance, "terminate", through("T", ("shutting-down", 32), ("terminated", 48)))
wrapped(amis.AmiBackend, "create_image", pending_image)

if "CALLS" in os.environ:
    calls = open(os.environ["CALLS"], "a", buffering=1, encoding="utf-8")
    dispatch = BaseResponse.call_action

    def logged(self):
        calls.write(self._get_action() + "\n")
        return dispatch(self)

    BaseResponse.call_action = logged

main(sys.argv[1:])
