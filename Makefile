# Every target does its own set-up in .venv, from nothing but Python 3.10-3.13 with venv.
#
#   make quickstart   train, quantize, convert and verify on the toy dataset; ends with the report's path
#   make test         what CI runs
#   make test-slow    the long tests
#   make test-web     the web demo in a real Chromium (needs chromium, node, npm)
#   make test-android the Android demo: built, tested on the JVM, packaged (needs a JDK, Maven, apksigner)
#   make test-ios     the iOS demo's core in Swift, with real inference (Linux; root, or a swift on the path)
#   make test-clients others' programs read our files: MediaPipe, Netron, LiteRT's benchmark (needs node, a network)
#   make lint         ruff and mypy only
#   make docs         rewrite the generated pages of docs/
#   make format       rewrite the sources in the house format
#   make clean        remove everything that make made; runs/ stays

PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check

# The package is installed as a wheel, not in place: `converters` and `quantization` exist under their
# import names only once installed, and a file missing from the wheel must fail here. Folders are listed
# too: their time changes when a file is deleted.
SOURCES := pyproject.toml $(shell find mobile_seg converters quantization web_demo \
    -name __pycache__ -prune -o -name node_modules -prune -o -type l -prune -o -print)

# Two files of tests at a time: TensorFlow fills the cores in some, Python one core in most.
PARALLEL ?= --numprocesses 2 --dist loadfile

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: quickstart test test-slow test-web test-android test-ios test-clients lint docs format wheel-smoke clean

# Nothing on the caller's path, the checkout included, may shadow the installed package.
export PYTHONSAFEPATH := 1
unexport PYTHONPATH

quickstart: $(VENV)/package.stamp
	$(VENV)/bin/mobile-seg quickstart

test: export MOBILE_SEG_INSTALLED := 1
test: lint wheel-smoke
	@echo "not run here: the long tests (make test-slow); the web demo in Chromium (make test-web);" \
	    "the Android demo (make test-android); the iOS demo in Swift (make test-ios); others' programs (make test-clients)"
	$(VENV)/bin/pytest $(PARALLEL)

test-slow: export MOBILE_SEG_INSTALLED := 1
test-slow: $(VENV)/dev.stamp
	$(VENV)/bin/pytest -m slow

test-web: export MOBILE_SEG_INSTALLED := 1
test-web: $(VENV)/dev.stamp
	@command -v npm >/dev/null || { echo "make test-web needs Node.js and npm: https://nodejs.org"; exit 1; }
	npm ci --ignore-scripts --prefix web_demo
	$(VENV)/bin/pytest -m slow tests/e2e/test_web.py tests/golden/test_apps.py

# Debian's programs are installed where that is allowed, and named otherwise; the rest is pinned by hash.
test-android: export MOBILE_SEG_INSTALLED := 1
test-android: $(VENV)/dev.stamp
	$(VENV)/bin/python android_demo/ci/build.py install
	$(VENV)/bin/pytest -m slow tests/e2e/test_android.py

# The toolchain comes from Debian where there is none (ios_demo/swift.sh).
test-ios: export MOBILE_SEG_INSTALLED := 1
test-ios: $(VENV)/dev.stamp
	ios_demo/swift.sh swift --version
	$(VENV)/bin/pytest -m slow tests/e2e/test_ios.py

test-clients: export MOBILE_SEG_INSTALLED := 1
test-clients: $(VENV)/dev.stamp
	$(VENV)/bin/pytest -m slow tests/e2e/test_clients.py tests/e2e/test_mediapipe.py

# mypy runs from tests/ so that `-p mobile_seg` is the installed package, under its real names.
lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	cd tests && ../$(VENV)/bin/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p mobile_seg

docs: $(VENV)/dev.stamp
	$(VENV)/bin/python docs/generate.py

format: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The wheel alone, in a fresh environment without a single dependency: `--help` must answer.
wheel-smoke: $(VENV)/package.stamp
	rm -rf .venv-wheel
	$(VENV)/bin/python -m venv --without-pip .venv-wheel
	$(PIP) --python .venv-wheel/bin/python install --quiet --no-deps dist/*.whl
	cd tests && ../.venv-wheel/bin/mobile-seg --help >/dev/null
	rm -rf .venv-wheel

clean:
	rm -rf $(VENV) .venv-wheel .toolchains build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/pip.stamp:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip "setuptools>=77"
	touch $@

# build/ is removed before and after: setuptools would pack files that the checkout no longer has.
$(VENV)/package.stamp: $(VENV)/pip.stamp $(SOURCES)
	rm -rf build dist *.egg-info
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build *.egg-info
	$(PIP) install --quiet --no-deps --force-reinstall dist/*.whl
	@echo "installing the dependencies (TensorFlow is large; only the first time takes minutes)"
	$(PIP) install --quiet dist/*.whl
	touch $@

$(VENV)/dev.stamp: $(VENV)/package.stamp pyproject.toml
	$(PIP) install --quiet "$$(ls dist/*.whl)[dev,coreml,onnx]"
	touch $@
