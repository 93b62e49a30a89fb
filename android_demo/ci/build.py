"""Builds and tests the app on a plain Linux machine, without Gradle, Google's Maven repository or an Android SDK.

    python3 android_demo/ci/build.py [--work DIR] [--assets DIR] [--define NAME=VALUE ...] STEP ...

    install   Debian's programs: a JDK, Maven, apksigner
    fetch     Maven Central's files, each checked against checksums.txt
    compile   core, app and their tests, against the real TensorFlow Lite classes and a current Android framework
    core      the core's tests, on the JVM; they need --define golden=DIR and assets=DIR
    app       the app's tests, under Robolectric; they need golden, picture, resize and intent, too
    screen    the test that draws the screen, alone; it needs picture and writes screenshot
    apk       a signed package for arm64, its signature verified, its manifest read back
    lint      ktlint and detekt

`docs` of the app: ../README.md. Gradle does the same for people; `tests/e2e/test_android.py` calls this.
"""

import argparse
import hashlib
import os
import shutil
import struct
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH, which our Makefile sets, leaves it out
from toolchain import CHECKSUMS, BuildError, Toolchain, install_programs, missing, run

APP = Path(__file__).resolve().parents[1]
PACKAGE = "dev.mobileseg.demo"
MIN_SDK, TARGET_SDK = 24, 35
ABI = "arm64-v8a"
PAGE = 4096
LOCAL_HEADER = 30  # of a ZIP member, before its name
ALIGNMENT = 0xD935  # the extra field's kind
JVM = ("-Xmx1500m", "-XX:+UseSerialGC")
BRIEF = "-XX:TieredStopAtLevel=1"  # the better compiler of the JVM does not pay for programs of seconds
STEPS = ("install", "fetch", "compile", "core", "app", "screen", "apk", "lint")


class Build:
    """Where things are; one method per step."""

    def __init__(self, work: Path, assets: Path, defines: list[str]) -> None:
        self.work, self.assets, self.defines = work, assets, defines
        self.tools = Toolchain(work / "maven")
        self.android = "app/android-all-*.jar"

    def install(self) -> None:
        """Those that are there stay as they are."""
        install_programs()

    def fetch(self) -> None:
        """Every file is checked, also those that were there before."""
        self.tools.fetch()

    def compile(self) -> None:
        """Kotlin warnings are errors."""
        stdlib = [self.tools.one("app/kotlin-stdlib-*.jar")]
        json = self.tools.one("test/json-*.jar")
        self._kotlin("core", ["core/src/main"], [*stdlib, json])
        self._resources()
        path = [*stdlib, self.tools.one(self.android), *self._tflite(), self._out("core"), self._out("r")]
        self._kotlin("app", ["app/src/main"], path)
        fixtures = "core/src/testFixtures"
        tests = [*stdlib, *self._test_jars(), self._out("core")]
        self._kotlin("core-test", [fixtures, "core/src/test"], tests, friend="core")
        self._kotlin("app-test", [fixtures, "app/src/test"], self._robolectric_path()[2:], friend="app")

    def core(self) -> None:
        """Real inference: no phone is needed for it."""
        path = [self._out("core-test"), self._out("core"), self.tools.one("app/kotlin-stdlib-*.jar")]
        self._junit("core-test", [*path, *self._test_jars()])

    def app(self) -> None:
        """All of the app's tests."""
        self._junit("app-test", self._robolectric_path(), self._robolectric_options())

    def screen(self) -> None:
        """A picture for the documentation."""
        self._junit("app-test", self._robolectric_path(), self._robolectric_options(), only="PictureOfTheScreenTest")

    def apk(self) -> None:
        """The signature is of a key made here: this package is for looking at, and for phones of developers."""
        unsigned, signed = self.work / "unsigned.apk", self.work / "mobile-seg-demo.apk"
        self._package(unsigned)
        key = self.work / "debug.keystore"
        if not key.exists():
            words = ("-genkeypair", "-alias", "debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000")
            secret = ("-storepass", "android", "-keypass", "android", "-dname", "CN=Android Debug")
            run("keytool", *words, *secret, "-keystore", key)
        run("apksigner", "sign", "--ks", key, "--ks-pass", "pass:android", "--out", signed, unsigned)
        print(run("apksigner", "verify", "--verbose", "--min-sdk-version", MIN_SDK, signed))
        print(run(self.tools.aapt2, "dump", "badging", signed))

    def lint(self) -> None:
        """The rules are those of ../.editorconfig and detekt.yml."""
        sources = ["core/**/*.kt", "app/**/*.kt", "*.kts", "core/*.kts", "app/*.kts"]
        run("java", *JVM, BRIEF, "-jar", self.tools.one("lint/ktlint-cli-*.jar"), *sources, cwd=APP)
        rules = ("--config", APP / "ci" / "detekt.yml", "--build-upon-default-config")
        run(
            "java", *JVM, BRIEF, "-jar", self.tools.one("lint/detekt-cli-*.jar"), *rules, "--input", "core,app", cwd=APP
        )

    def _kotlin(self, name: str, sources: list[str], path: list[Path], friend: str = "") -> None:
        out, stamp = self._out(name), self.work / f"{name}.stamp"
        files = sorted(file for folder in sources for file in (APP / folder).rglob("*.kt"))
        # What it was made of: nothing is compiled twice.
        made_of = hashlib.sha256(b"".join(file.read_bytes() for file in (*files, CHECKSUMS)))
        for other in sorted(self.work.glob("*.stamp")):
            if self._out(other.stem) in path:
                made_of.update(other.read_bytes())
        if stamp.exists() and stamp.read_text() == made_of.hexdigest() and out.is_dir():
            return
        stamp.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        options = ["-no-stdlib", "-no-reflect", "-jvm-target", "11", "-Werror", "-module-name", name]
        if friend:
            options.append(f"-Xfriend-paths={self._out(friend)}")
        compiler = ("java", *JVM, BRIEF, "-cp", _path(self.tools.jars("kotlin")))
        main = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
        run(*compiler, main, *options, "-cp", _path(path), "-d", out, *files)
        stamp.write_text(made_of.hexdigest())

    def _resources(self) -> None:
        """`resources.apk` and the class `R`. What Gradle would add to the manifest is written in here."""
        manifest = self.work / "AndroidManifest.xml"
        text = (APP / "app/src/main/AndroidManifest.xml").read_text("utf-8")
        text = text.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1)
        manifest.write_text(text.replace("<application", '<application android:extractNativeLibs="false"', 1))
        compiled, made = self.work / "res.zip", self.work / "generated"
        shutil.rmtree(made, ignore_errors=True)
        run(self.tools.aapt2, "compile", "--dir", APP / "app/src/main/res", "-o", compiled)
        link = ("-I", self.tools.one(self.android), "--manifest", manifest, "--java", made)
        sdk = ("--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK)
        version = ("--version-code", 1, "--version-name", "1.0")
        run(self.tools.aapt2, "link", "-o", self.work / "resources.apk", *link, *sdk, *version, compiled)
        sources = sorted(made.rglob("*.java"))
        run("javac", "-nowarn", "-d", self._out("r"), *sources)
        stamp = hashlib.sha256(b"".join(source.read_bytes() for source in sources))
        (self.work / "r.stamp").write_text(stamp.hexdigest())

    def _package(self, target: Path) -> None:
        dexed = self.work / "dex.zip"
        jars = [_jar(self._out(name), self.work / f"{name}.jar") for name in ("core", "app", "r")]
        libraries = [self.tools.one("app/kotlin-stdlib-*.jar"), *self._tflite()]
        d8 = ("java", *JVM, BRIEF, "-cp", self.tools.one("app/r8-*.jar"), "com.android.tools.r8.D8", "--release")
        framework = ("--lib", self.tools.one(self.android), "--min-api", MIN_SDK)
        run(*d8, *framework, "--output", dexed, *jars, *libraries)
        shutil.copy(self.work / "resources.apk", target)
        with zipfile.ZipFile(target, "a") as package, zipfile.ZipFile(dexed) as dex:
            for name in dex.namelist():
                package.writestr(name, dex.read(name), zipfile.ZIP_DEFLATED)
            for library in self.tools.native_libraries(ABI):
                _store(package, library, f"lib/{ABI}/{library.name}", boundary=PAGE)
        self._add_assets(target)

    def _add_assets(self, target: Path) -> None:
        with zipfile.ZipFile(target, "a") as package:
            for asset in sorted(path for path in self.assets.rglob("*") if path.is_file()):
                _store(package, asset, f"assets/{asset.relative_to(self.assets).as_posix()}", boundary=4)

    def _junit(self, name: str, path: list[Path], options: tuple[str, ...] = (), only: str = "") -> None:
        classes = self._out(name)
        found = sorted(file.relative_to(classes).with_suffix("") for file in classes.rglob(f"*{only or 'Test'}.class"))
        tests = [".".join(file.parts) for file in found]
        defines = [f"-D{one}" for one in (f"assets={self.assets}", *self.defines)]
        words = ("-cp", _path(path), *options, *defines, "org.junit.runner.JUnitCore", *tests)
        print(run("java", *JVM, "-Djava.awt.headless=true", *words, cwd=self.work))

    def _robolectric_options(self) -> tuple[str, ...]:
        """Its Android comes from the fetched files, our resources from the package made of them."""
        package = shutil.copy(self.work / "resources.apk", self.work / "tested.apk")
        self._add_assets(package)
        config = self.work / "config" / "com" / "android" / "tools" / "test_config.properties"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(
            f"android_merged_manifest={self.work / 'AndroidManifest.xml'}\n"
            f"android_merged_assets={self.assets}\n"
            f"android_resource_apk={package}\n"
            f"android_custom_package={PACKAGE}\n"
        )
        framework = self.tools.one("test/android-all-instrumented-*.jar")
        offline = ("-Drobolectric.offline=true", f"-Drobolectric.dependency.dir={framework.parent}")
        return (*offline, "--add-opens=java.base/java.io=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED")

    def _robolectric_path(self) -> list[Path]:
        """With the framework last: tests are loaded against it, and run in what Robolectric makes of it."""
        own = [self._out(name) for name in ("app-test", "app", "core", "r")]
        resources = APP / "app/src/test/resources"
        stdlib = self.tools.one("app/kotlin-stdlib-*.jar")
        jars = [stdlib, *self._tflite(), *self._test_jars(), self.tools.one(self.android)]
        return [self.work / "config", *own, resources, *jars]

    def _test_jars(self) -> list[Path]:
        return [jar for jar in self.tools.jars("test") if "android-all" not in jar.name]

    def _tflite(self) -> list[Path]:
        return [jar for jar in self.tools.jars("app") if jar.name.startswith("tensorflow-lite")]

    def _out(self, name: str) -> Path:
        return self.work / "classes" / name


def _store(package: zipfile.ZipFile, file: Path, name: str, *, boundary: int) -> None:
    """Add a file uncompressed, its content at a multiple of `boundary`, so that it can be mapped.

    The padding is an extra field as Android's own tools write it, which `apksigner` reads and keeps.
    """
    member = zipfile.ZipInfo(name)
    head = struct.calcsize("<HHH")
    length = head + -(package.start_dir + LOCAL_HEADER + len(name.encode()) + head) % boundary
    member.extra = struct.pack("<HHH", ALIGNMENT, length - 4, boundary).ljust(length, b"\0")
    package.writestr(member, file.read_bytes())


def _path(jars: list[Path]) -> str:
    return os.pathsep.join(map(str, jars))


def _jar(classes: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as jar:
        for file in sorted(path for path in classes.rglob("*") if path.is_file()):
            jar.write(file, file.relative_to(classes).as_posix())
    return target


def main() -> int:
    """Do the steps in the order given."""
    parser = argparse.ArgumentParser(description="Build and test the Android demo without Gradle.")
    parser.add_argument("steps", nargs="+", choices=STEPS, metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--work", type=Path, default=APP / "build" / "ci")
    parser.add_argument("--assets", type=Path, default=APP / "app/src/main/assets")
    parser.add_argument("--define", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    build = Build(args.work.resolve(), args.assets.resolve(), args.define)
    try:
        if "install" not in args.steps and missing():
            raise BuildError(f"not all programs are here; install them: apt-get install {' '.join(missing())}")
        for step in args.steps:
            getattr(build, step)()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
