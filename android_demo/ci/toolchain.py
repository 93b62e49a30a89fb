"""What the build takes from Maven Central: fetched by Maven, pinned by SHA-256, used from one folder."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKSUMS = HERE / "checksums.txt"
PROGRAMS = {
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
    "mvn": "maven",
    "apksigner": "apksigner",
}
"""What must be on the path, and Debian's package of it."""


class BuildError(Exception):
    """What is wrong, in one or two lines."""


def missing() -> list[str]:
    """The Debian packages of programs that are not here."""
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})


def install_programs() -> None:
    """Install what is missing.

    Raises:
        BuildError: if that is not ours to do here.
    """
    absent = missing()
    if not absent:
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise BuildError(f"not all programs are here; install them: apt-get install {' '.join(absent)}")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *absent)


def run(*words: object, **options: object) -> str:
    """Run a program and return what it printed.

    Raises:
        BuildError: if it fails, with its last words.
    """
    line = [str(word) for word in words]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise BuildError(f"{Path(line[0]).name} failed ({done.returncode}):\n{done.stdout[-6000:]}")
    return done.stdout


class Toolchain:
    """The fetched files: `jars("kotlin")` and so on; archives for Android are unpacked beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self) -> None:
        """Fetch what is not there, and check all of it.

        Raises:
            BuildError: if a file is not the pinned one, or there are more or fewer.
        """
        if self._names() != set(pinned()):
            shutil.rmtree(self.folder, ignore_errors=True)
            pom = HERE / "maven" / "pom.xml"
            run("mvn", "-q", "-B", "-f", pom, f"-Dfetch.folder={self.folder}", "dependency:copy-dependencies")
        self.check()
        self._unpack()

    def check(self) -> None:
        """Compare every file with its pinned checksum."""
        wanted = pinned()
        found = {name: digest(self.folder / name) for name in self._names()}
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        if wrong:
            raise BuildError(f"not what {CHECKSUMS.name} pins: {', '.join(wrong)}")

    def jars(self, module: str) -> list[Path]:
        """A module's class path."""
        unpacked = sorted((self.folder / "unpacked" / module).glob("*.jar"))
        return sorted((self.folder / module).glob("*.jar")) + unpacked

    def one(self, pattern: str) -> Path:
        """The one file of this name."""
        (found,) = self.folder.glob(pattern)
        return found

    @property
    def aapt2(self) -> Path:
        """Apktool's jar carries a current one; Debian's is of Android 10."""
        return self.folder / "unpacked" / "aapt2"

    def native_libraries(self, abi: str) -> list[Path]:
        """The runtime's, for an ABI."""
        return sorted((self.folder / "unpacked" / "jni" / abi).glob("*.so"))

    def _names(self) -> set[str]:
        files = [path for path in self.folder.glob("*/*") if path.suffix in (".jar", ".aar")]
        return {path.relative_to(self.folder).as_posix() for path in files}

    def _unpack(self) -> None:
        unpacked = self.folder / "unpacked"
        for archive in sorted(self.folder.glob("*/*.aar")):
            with zipfile.ZipFile(archive) as members:
                jar = unpacked / archive.parent.name / f"{archive.stem}.jar"
                jar.parent.mkdir(parents=True, exist_ok=True)
                jar.write_bytes(members.read("classes.jar"))
                for name in members.namelist():
                    if name.startswith("jni/") and name.endswith(".so"):
                        members.extract(name, unpacked)
        with zipfile.ZipFile(self.one("app/apktool-lib-*.jar")) as members:
            self.aapt2.write_bytes(members.read("prebuilt/linux/aapt2_64"))
        self.aapt2.chmod(0o755)


def pinned() -> dict[str, str]:
    """The checksums by file, as `sha256sum` writes them."""
    rows = (line.split(maxsplit=1) for line in CHECKSUMS.read_text("utf-8").splitlines() if line)
    return {name.strip(): value for value, name in rows}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
