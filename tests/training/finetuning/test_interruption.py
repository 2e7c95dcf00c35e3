"""Signals that wait, for no longer than they must."""

import signal
import threading

import pytest

from enterprise_lab.training.finetuning.interruption import Interruption


class TestInterruption:
    def test_a_second_ctrl_c_does_not_wait(self):
        done = []

        def work() -> None:
            with Interruption().held():
                for _ in range(3):
                    signal.raise_signal(signal.SIGINT)
                    done.append("held")

        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["held"]

    def test_a_signal_that_no_checkpoint_came_for_is_not_lost(self):
        with pytest.raises(KeyboardInterrupt), Interruption().held():
            signal.raise_signal(signal.SIGINT)

    def test_ignored_signals_stay_ignored(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with Interruption().held():
                assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    def test_in_another_thread_nothing_is_held(self):
        before = signal.getsignal(signal.SIGINT)
        found = []

        def work() -> None:
            with Interruption().held():
                found.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [before]
