#!/usr/bin/env bash
# Engine and I/O under AddressSanitizer and UBSan: a build of its own under build/sanitize, their tests, and a million
# mutated packets. MUTATIONS=n for fewer; further arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
base=build/sanitize
export FASTESP_BUILD=sanitize

# distutils compares time stamps of C files that Cython has just written, so a build that is not needed is not begun.
stamp=$base/stamp
newest=$(find fastesp setup.py -name '*.py' -o -name '*.pyx' -o -name '*.pxd' | xargs cat | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$newest" ]; then
  rm -rf "$base"
  mkdir -p "$base"
  .venv/bin/python setup.py -q build --parallel "$(nproc)" --build-base "$base" --build-lib "$base/lib" --build-temp "$base/temp"
  echo "$newest" >"$stamp"
fi

# Python's own allocator would hide overruns of a bytearray; its arenas and modules are never freed, which is no leak.
export LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
export PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export PYTHONPATH=$root/$base/lib
# Over the fourteen cases of tests/unit/engine/test_mutations.py.
export FASTESP_MUTATIONS=$((${MUTATIONS:-1000000} / 14))
export HYPOTHESIS_STORAGE_DIRECTORY=$root/$base/hypothesis

# -P: the sources' directory, with the release's extensions in it, stays off the path.
.venv/bin/python -P -c 'import fastesp.engine, sys; sys.exit("build/sanitize" not in fastesp.engine.__file__)'
.venv/bin/python -P -m pytest -q -n 2 --dist worksteal -p no:cacheprovider --timeout 1800 \
  tests/unit/engine tests/unit/io tests/property/test_segments.py "$@"
