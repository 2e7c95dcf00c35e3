"""How papermill speaks to a batch's kernels: over private sockets, keeping bounded outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient

from enterprise_lab.batch.attempts.notebook_outputs import Outputs

IOPUB_SECONDS = 30
"""How long outputs may trail behind the end of their cell."""
START_SECONDS = 300
"""How long a kernel may take to start on a machine that is busy; the deadline holds besides."""
STREAM = "enterprise_lab.batch.attempts.kernel_stream.BoundedStream"


class KernelStartError(Exception):
    """The kernel could not be started."""


class _KernelManager(AsyncKernelManager):
    """Asks a kernel to shut down without interrupting it first.

    It has no cell to do; the interrupt could only meet the end of the last request, and be logged
    as an error of the run.
    """

    async def _async_interrupt_kernel(self) -> None:
        if not self.shutting_down:
            await super()._async_interrupt_kernel()


class NotebookClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes a notebook for papermill's manager of it.

    `sockets` is an empty folder with a short path. `begin_cell` hears of each code cell before it
    is executed, `died` the exit code of a kernel that died.
    """

    def __init__(
        self,
        manager: Any,
        sockets: Path,
        most_output_bytes: int,
        begin_cell: Callable[[NotebookNode], None],
        died: Callable[[int | None], None],
    ) -> None:
        super().__init__(
            manager,
            raise_on_iopub_timeout=False,  # the reply says how a cell ended, if outputs are lost
            iopub_timeout=IOPUB_SECONDS,
            startup_timeout=START_SECONDS,
            extra_arguments=[f"--IPKernelApp.outstream_class={STREAM}"],
            on_cell_execute=lambda cell, **_: begin_cell(cell),
        )
        self._died = died
        self._sockets = sockets
        self._outputs = Outputs(most_output_bytes)

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Manage this environment's own kernel, whatever else is installed under its name."""
        # Ports of TCP are chosen before they are used: kernels that start together may collide.
        self.km = _KernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            ip=str(self._sockets / "k"),
            connection_file=str(self._sockets / "kernel.json"),
        )
        return self.km

    def start_new_kernel_client(self) -> Any:
        """Wait for the kernel; KernelStartError when it doesn't come up."""
        try:
            return super().start_new_kernel_client()
        except (RuntimeError, TimeoutError) as error:
            raise KernelStartError(str(error)) from error

    async def _async_check_alive(self) -> None:
        try:
            await super()._async_check_alive()
        except DeadKernelError:
            if self.km and self.km.provisioner:
                self._died(await self.km.provisioner.poll())
            raise

    def output(
        self, outs: list[NotebookNode], msg: Any, display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Add what a cell printed or displayed to its outputs."""
        output: NotebookNode | None = super().output(outs, msg, display_id, cell_index)
        if output is not None:
            outs.pop()
            if not self._outputs.add(cell_index, outs, output) and display_id:
                self._display_id_map[display_id][cell_index].pop()
        return output
