# shellcheck shell=bash
# The steps of ./test, each a function that runs under `set -e` in a subshell. A step that cannot run calls `skip`.
#
# All cargo calls name the whole workspace with all targets, or the same three release binaries: another selection
# would resolve other features and compile the dependencies once more.

# The SDKs and schemathesis talk to the development build, which the step `tests` has made already.
debug_binaries() {
  cargo build --locked --workspace --all-targets
  export A6_BIN="$PWD/target/debug/a6"
}

release_binaries() {
  cargo build --locked --release -p a6 -p a6-bench -p xtask
}

step_format() {
  cargo fmt --all --check
}

step_lint() {
  cargo clippy --locked --workspace --all-targets -- -D warnings
}

step_deny() {
  provide_deny || { skip "cargo-deny could not be installed, see target/test-logs/deny.log"; return 0; }
  cargo-deny --locked --workspace check bans licenses sources
}

step_advisories() {
  provide_deny || { skip "cargo-deny could not be installed, see target/test-logs/advisories.log"; return 0; }
  local output="$LOGS/advisories.output" status=0
  timeout 120 "$(command -v cargo-deny)" --locked --workspace check advisories > "$output" 2>&1 || status=$?
  cat "$output"
  if [[ $status -ne 0 ]] && { [[ $status -eq 124 ]] || grep -q 'failed to fetch advisory database' "$output"; }; then
    skip "the advisory database cannot be reached" allowed
    return 0
  fi
  return "$status"
}

step_tests() {
  # Some proofs look at system calls; without strace they say that they are skipped.
  provide_debian strace strace || true
  rm -f "$LOGS/junit.xml"
  if cargo nextest --version > /dev/null 2>&1; then
    local status=0
    cargo nextest run --locked --workspace || status=$?
    cp target/nextest/default/junit.xml "$LOGS/junit.xml" || true
    return "$status"
  fi
  echo "cargo-nextest is not installed; cargo test does the same, more slowly"
  cargo test --locked --workspace --lib --bins --tests --no-fail-fast -- --show-output
}

step_docs() {
  cargo test --locked --workspace --doc
}

step_python() {
  local python
  python=$(provide_python a6/tests/clients/requirements.txt) \
    || { skip "no Python 3 with the packages of a6/tests/clients/requirements.txt, see target/test-logs/python.log"; return 0; }
  debug_binaries
  local without=()
  if [[ ! -d ../shared/fixtures/recorded-openai ]]; then
    skip "../shared/fixtures/recorded-openai is missing" allowed
    without=(--ignore test_recorded.py)
  fi
  cd a6/tests/clients/python || return
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$TOOLS/python-packages" "$python" -m pytest -p no:cacheprovider -rs "${without[@]}" .
}

step_node() {
  provide_node_modules a6/tests/clients/node \
    || { skip "no Node.js 20 or newer with npm and its registry, see target/test-logs/node.log"; return 0; }
  debug_binaries
  cd a6/tests/clients/node || return
  local tests=(openai.test.mjs openai-other.test.mjs anthropic.test.mjs anthropic-converted.test.mjs)
  if [[ -d ../../../../../shared/fixtures/recorded-openai ]]; then
    tests+=(recorded.test.mjs)
  else
    skip "../shared/fixtures/recorded-openai is missing" allowed
  fi
  node --test --test-reporter=spec "${tests[@]}"
}

step_bench() {
  provide_debian nginx nginx || { skip "nginx could not be installed, see target/test-logs/bench.log"; return 0; }
  release_binaries
  target/release/a6-bench --smoke --a6 target/release/a6
}

step_instructions() {
  provide_debian valgrind valgrind || { skip "valgrind could not be installed, see target/test-logs/instructions.log"; return 0; }
  provide_debian strace strace || { skip "strace could not be installed, see target/test-logs/instructions.log"; return 0; }
  release_binaries
  target/release/xtask instructions --a6 target/release/a6
}

step_fuzz() {
  RUSTUP_AUTO_INSTALL=0 cargo +nightly --version > /dev/null 2>&1 \
    || { skip "nightly is not installed, which fuzzing needs" allowed; return 0; }
  provide_fuzz || { skip "cargo-fuzz could not be installed, see target/test-logs/fuzz.log"; return 0; }
  release_binaries
  target/release/xtask fuzz --seconds 5
}
