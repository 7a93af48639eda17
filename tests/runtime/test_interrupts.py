"""Laws of Ctrl-C and SIGTERM: in training the first ends after the step, all others at once."""

import threading

import pytest

from nerf.errors import UserError
from nerf.runtime.interrupts import Interrupted, interrupt_at_once, interrupt_between_steps
from tests.support.signals import SIGNALS, handlers, send

pytestmark = pytest.mark.usefixtures("usual_handlers")


def test_the_first_signal_is_answered_with_a_sentence(signal_number):
    messages = []
    with pytest.raises(Interrupted), interrupt_between_steps(messages.append):
        send(signal_number)
    (sentence,) = messages
    assert {2: "Ctrl-C", 15: "SIGTERM"}[signal_number] in sentence
    assert "stopping after this step" in sentence


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_interrupts_at_once(usual_handlers, signal_number, second):
    passed = []

    def impatient():
        with interrupt_between_steps(print) as should_stop:
            send(signal_number)
            passed.append(should_stop())
            send(second)
            passed.append("too far")

    with pytest.raises(Interrupted, match="at once") as caught:
        impatient()
    assert caught.value.status == 128 + second
    assert passed == [True]
    assert handlers() == usual_handlers


def test_outside_training_a_signal_interrupts_at_once(usual_handlers, signal_number):
    with pytest.raises(Interrupted, match="is kept") as caught, interrupt_at_once():
        send(signal_number)
    assert caught.value.status == 128 + signal_number
    assert handlers() == usual_handlers


def test_without_a_signal_nothing_changes(usual_handlers):
    with interrupt_between_steps(print) as should_stop:
        assert not should_stop()
        assert not set(handlers().values()) & set(usual_handlers.values())
    assert handlers() == usual_handlers


def test_an_error_passes_through_and_the_handlers_are_restored(usual_handlers, signal_number):
    def fail():
        with interrupt_between_steps(print):
            send(signal_number)
            raise UserError("mine")

    with pytest.raises(UserError, match="mine"):
        fail()
    assert handlers() == usual_handlers


def test_another_thread_leaves_signals_alone(usual_handlers):
    answers = []

    def work():
        with interrupt_between_steps(print) as should_stop:
            answers.extend([should_stop(), handlers() == usual_handlers])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False, True]
