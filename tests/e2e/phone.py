"""A stand-in for phones: real `adbd` daemons in network and mount namespaces of their own, with a root of their own.

Run as a program inside `unshare -n -m`, it makes the root and starts the daemons; imported, it starts that program.
The root is a tmpfs with this machine's programs and an empty /data/local/tmp and /sdcard, so that nothing touches
the machine and nothing on the network reaches the daemons. `getprop`, `am`, `pm` and `dumpsys`, which Android has
and Linux has not, are scripts.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FIRST_PORT = 15555  # not 5555: the adb server would list that one twice
INSTALL = "apt-get install -t bookworm-backports adbd"

GETPROP = """#!/bin/sh
case "$1" in
  ro.product.manufacturer) echo Stand-in;;
  ro.product.model) echo "Phone One";;
  ro.product.cpu.abi) echo "${STAND_IN_ABI:-x86_64}";;
  ro.build.version.release) echo 15;;
esac
"""

DUMPSYS = """#!/bin/sh
[ "$1" = thermalservice ] || exit 1
cat <<'END'
IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=77.0, mType=0, mName=CPU, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=CPU, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
END
"""

PM = """#!/bin/sh
[ "$1 $2" = "path dev.mobileseg.demo" ] && [ -e /stand-ins/bench ] && echo package:/data/app/base.apk
"""

# Does what the app promises: measures with our C program, writes under another name, renames.
AM = """#!/bin/sh
[ "$1" = start ] || exit 0
shift
while [ $# -gt 0 ]; do
  case "$1" in
    -n) activity="$2"; shift 2;;
    --es|--ei) eval "$2=\\$3"; shift 3;;
    *) shift;;
  esac
done
[ "$activity" = dev.mobileseg.demo/.BenchmarkActivity ] || { echo "Error: Activity class does not exist."; exit 0; }
mkdir -p "$(dirname "$output")"
if [ "$delegate" = nnapi ]; then
  echo '{"schema": "mobile-seg.run/1", "error": "NNAPI is not on this phone"}' > "$output.partial"
else
  /stand-ins/bench --library /stand-ins/libLiteRt.so --model "$model" --delegate "$delegate" --threads "$threads" \\
    --warmup "$warmup" --runs "$runs" > "$output.partial" 2>/dev/null
fi
mv "$output.partial" "$output"
echo "Status: ok"
"""

SCRIPTS = {"getprop": GETPROP, "dumpsys": DUMPSYS, "pm": PM, "am": AM}


class Phones:
    """Running daemons; `root` is what they have as theirs, `serials` what adb calls them."""

    def __init__(self, holder: "subprocess.Popen[str]", root: Path, daemons: list[int], home: Path) -> None:
        self._holder, self.daemons, self._home = holder, daemons, home
        # A mount of another namespace is reached through a process in it.
        self.root = Path(f"/proc/{holder.pid}/root{root}")
        self.serials = [f"127.0.0.1:{FIRST_PORT + 2 * number}" for number in range(len(daemons))]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an adb client; its keys and its server's log stay in the test's folder."""
        return {**os.environ, "HOME": str(self._home), "TMPDIR": str(self._home), "ANDROID_ADB_SERVER_PORT": "5037"}

    def inside(self, *words: object) -> list[str]:
        """A command line that runs in the daemons' network, on this machine's files."""
        user = [] if os.getuid() == 0 else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self._holder.pid), *user, "-n", "--", *map(str, words)]

    def run(self, *words: object, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command there and wait."""
        command = self.inside(*words)
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=seconds)

    def left(self) -> list[str]:
        """What lies where sessions work on the phone."""
        sdcard = self.root / "sdcard"
        files = [path for path in sdcard.rglob("*") if path.is_file()]
        return [path.name for path in (*(self.root / "data/local/tmp").iterdir(), *files)]

    def unplug(self, number: int = 0) -> None:
        """Kill a daemon."""
        os.kill(self.daemons[number], signal.SIGKILL)

    def connect(self) -> None:
        """Let the adb server find the daemons."""
        for serial in self.serials:
            for _ in range(50):
                said = self.run(_adb(), "connect", serial).stdout
                if "connected to" in said:
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(f"adbd does not answer: {said}")

    def close(self) -> None:
        """End the adb server and the daemons."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run(_adb(), "kill-server", seconds=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._holder.pid, signal.SIGKILL)
        self._holder.wait()


def missing() -> str:
    """Why there can be no such phone here, or an empty text."""
    if not sys.platform.startswith("linux"):
        return "namespaces are Linux's"
    for program, install in (("adbd", INSTALL), ("unshare", "apt-get install util-linux"), ("nsenter", "util-linux")):
        if _which(program) is None:
            return f"{program} is not here; install it with: {install}"
    try:
        import adbutils  # noqa: F401
    except ImportError:
        return 'adbutils is not here; install it with: pip install "mobile-seg[adb]"'
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return f"this system lets nobody make namespaces: {tried.stderr.strip()}" if tried.returncode else ""


@contextlib.contextmanager
def phones(folder: Path, *, count: int = 1, extra: dict[str, Path] | None = None) -> Iterator[Phones]:
    """Start daemons; `extra` are files to lie beside their stand-ins, by name."""
    if reason := missing():
        pytest.skip(reason)
    root, scripts, home = folder / "root", folder / "stand-ins", folder / "home"
    for place in (root, scripts, home):
        place.mkdir()
    for name, text in SCRIPTS.items():
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    for name, path in (extra or {}).items():
        shutil.copy(path, scripts / name)
    words = [*_unshare(), sys.executable, __file__, str(root), str(scripts), str(_which("adbd")), str(count)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout is not None
    with holder.stdout:
        said = holder.stdout.readline().split()
        assert said[:1] == ["ready"], "the daemons did not start"
        running = Phones(holder, root, [int(word) for word in said[1:]], home)
        try:
            running.connect()
            yield running
        finally:
            running.close()


def _adb() -> str:
    from adbutils._utils import adb_path

    return adb_path()


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _unshare() -> list[str]:
    return ["unshare", *([] if os.getuid() == 0 else ["-r"]), "-n", "-m"]


def _hold(root: Path, scripts: Path, adbd: str, count: int) -> None:
    """Make the root and run the daemons, in namespaces that are already new."""
    _loopback_up()
    _mount("-t", "tmpfs", "none", root)
    for name in sorted(os.listdir("/")):
        place = Path("/", name)
        if place.is_symlink():
            (root / name).symlink_to(os.readlink(place))
        elif name in ("usr", "etc", "bin", "sbin", "proc", "sys", "dev") or name.startswith("lib"):
            (root / name).mkdir()
            _mount("--rbind", place, root / name)
    for name in ("data/local/tmp", "sdcard", "tmp", "stand-ins"):
        (root / name).mkdir(parents=True)
    _mount("--bind", scripts, root / "stand-ins")
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert chroot is not None
    path = "/stand-ins:/usr/sbin:/usr/bin:/sbin:/bin"
    daemons = [
        subprocess.Popen(
            [chroot, str(root), adbd],
            env={"PATH": path, "ADBD_PORT": str(FIRST_PORT + 2 * number), "HOME": "/data/local/tmp"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    print("ready", *(daemon.pid for daemon in daemons), flush=True)
    for daemon in daemons:
        daemon.wait()
    signal.pause()  # the namespaces stay as long as we do


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def _loopback_up() -> None:
    """`ip link set lo up`, without iproute2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0x1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


if __name__ == "__main__":
    _hold(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
