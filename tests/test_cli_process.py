"""The command as a process: its speed, its terminal, and the signals that end it."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from jaxcoadd import io
from jaxcoadd.assembly.progress import _PlainLine
from tests.warp_files import assert_same_planes, left_in

ENVIRONMENT = {
    key: value for key, value in os.environ.items() if key != "XLA_FLAGS"
} | {"JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
MODULE = [sys.executable, "-m", "jaxcoadd"]

STOPPED = """
import os, signal, sys
from jaxcoadd.io import atomic
from jaxcoadd.cli import main
number = getattr(signal, sys.argv[1])
real = os.fsync
atomic.os.fsync = lambda handle: (real(handle), os.kill(os.getpid(), number))
sys.exit(main(sys.argv[2:]))
"""
"""Runs the command, which is sent a signal while it writes."""


def start(command, **options):
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
        **options,
    )


LOADED = """
import sys, time
start = time.process_time()
from jaxcoadd.cli import main
code = main(["assemble", "--help"])
seconds = time.process_time() - start
heavy = {"jax", "numpy", "astropy", "equinox", "matplotlib"} & set(sys.modules)
print(code, sorted(heavy), f"{seconds:.3f}", file=sys.stderr)
"""


def test_help_is_quick_and_loads_no_jax():
    done = start([sys.executable, "-c", LOADED])
    code, heavy, seconds = done.stderr.rsplit(maxsplit=2)
    assert (code, heavy) == ("0", "[]")
    # Of the processor, for other processes may be running; Python itself comes on top.
    assert float(seconds) < 0.2
    assert "--dry-run" in done.stdout


@pytest.mark.slow
def test_the_package_runs_as_a_module_and_is_silent_in_a_pipe(warps, output):
    done = start([*MODULE, "assemble", *warps, "--output", output])
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2 and "\r" not in done.stdout
    assert io.verify_file(output) == 8


def test_errors_are_one_line_and_no_traceback(output):
    done = start([*MODULE, "assemble", "*.fits", "--output", output])
    assert done.returncode == 3
    assert "no file has a name as *.fits; check the folder" in done.stderr
    assert "Traceback" not in done.stderr


def on_a_terminal(command):
    """Run a command with a terminal for its errors, and return what that shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(timeout=60), shown.decode(errors="replace")


@pytest.mark.slow
def test_a_terminal_shows_rate_and_time_left(warps, output):
    code, shown = on_a_terminal([*MODULE, "assemble", *warps, "--output", output])
    assert code == 0
    assert "weigh" in shown and "write" in shown
    assert "B/s" in shown and "0:00" in shown
    assert on_a_terminal(
        [*MODULE, "assemble", *warps, "--output", output, "-q", "--overwrite"]
    ) == (0, "")


def test_a_plain_line_shows_rate_and_time_left(capsys):
    line = _PlainLine()
    line.start = time.monotonic() - 2
    line.update("weigh", 20_000_000, 60_000_000)
    line.end()
    shown = capsys.readouterr().err
    assert shown == "\rweigh  20 of 60 MB, 10 MB/s, 4 s left  \n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)
def test_a_signal_while_writing_leaves_nothing(warps, output, name, code):
    command = ["assemble", *warps, "--output", output]
    done = start([sys.executable, "-c", STOPPED, name, *command])
    assert done.returncode == code
    assert done.stderr == "jaxcoadd: interrupted; nothing was written\n"
    assert left_in(output) == []


@pytest.mark.slow
def test_a_hangup_that_is_ignored_stays_so(warps, output):
    command = ["assemble", *warps, "--output", output]
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    done = start([sys.executable, "-c", ignoring + STOPPED, "SIGHUP", *command])
    assert done.returncode == 0
    assert io.verify_file(output) == 8


@pytest.mark.slow
def test_a_killed_run_leaves_the_old_file_and_does_not_hinder_the_next(warps, output):
    output.write_text("old")
    command = ["assemble", *warps, "--output", output, "--overwrite"]
    done = start([sys.executable, "-c", STOPPED, "SIGKILL", *command])
    assert done.returncode == -signal.SIGKILL
    assert output.read_text() == "old"
    assert start([*MODULE, *command]).returncode == 0
    assert io.verify_file(output) == 8


def test_a_closed_pipe_and_closed_outputs_do_not_matter(warps, output):
    command = f"{sys.executable} -m jaxcoadd inspect {warps[0]}"
    shell = ["bash", "-o", "pipefail", "-c"]
    done = start([*shell, f"{command} | true"])
    assert (done.returncode, done.stderr) == (0, "")
    done = start([*shell, f"{command} >&- 2>&-"])
    assert done.returncode == 0


@pytest.mark.slow
def test_the_number_of_cores_changes_no_bit(warps, output, tmp_path):
    command = [sys.executable, "-m", "jaxcoadd", "assemble", *warps]
    others = []
    for number in ("1", "3"):
        others.append(tmp_path / f"{number}.fits")
        done = start([*command, "--output", others[-1], "-j", number])
        assert done.returncode == 0, done.stderr
    assert_same_planes(*others)
