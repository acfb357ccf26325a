# shellcheck shell=bash
# Counting and the closing lines of ./test.

passed=0
failed=0
skipped=0
verdicts=()

# skip REASON [allowed]: called by a step that cannot run, instead of failing; `allowed` says that CI accepts it.
skip() {
  printf '%s\t%s\t%s\n' "${2:-refused}" "${step:?}" "$1" >> "$SKIPS"
  echo "skipped: $1"
}

# counts LOG: prints "passed failed skipped" as the test runners' closing lines in the log say.
counts() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    function number(word,    found) {
      if (match($0, "[0-9]+ " word)) { found = substr($0, RSTART, RLENGTH); return found + 0 }
      return 0
    }
    # cargo-nextest: timed-out tests and the like are neither passed nor "failed" there
    /^ *Summary \[.*tests? run:/ {
      p += number("passed"); f += number("tests? run") - number("passed"); s += number("skipped")
    }
    # cargo test
    /^test result: / { p += number("passed"); f += number("failed"); s += number("ignored"); next }
    # pytest
    /[0-9]+ (passed|failed|errors?|skipped).* in [0-9.]+s/ {
      p += number("passed"); f += number("failed") + number("error"); s += number("skipped")
    }
    # node --test
    /^(#|ℹ) (pass|fail|cancelled|skipped|todo) [0-9]+$/ {
      if ($2 == "pass") p += $3; else if ($2 == "fail" || $2 == "cancelled") f += $3; else s += $3
    }
    END { print p + 0, f + 0, s + 0 }'
}

# record STEP STATUS SECONDS LOG: adds a finished step to the totals.
record() {
  local step="$1" status="$2" seconds="$3" log="$4" p f s own said verdict=ok
  read -r p f s < <(counts "$log")
  # A test that lacks something prints `skipped: reason` and returns; its runner counts it as passed.
  said=$(said_skipped "$step" | wc -l)
  own=$(cut -f 2 "$SKIPS" | grep -cx "$step")
  if [[ $s -gt 0 ]]; then
    printf 'refused\t%s\t%s\n' "$step" "tests ignored in their source: $s, see ${log#"$PWD/"}" >> "$SKIPS"
  fi
  said_skipped "$step" >> "$SKIPS"
  p=$((p > said ? p - said : 0))
  s=$((s + said + own))
  if [[ $status -ne 0 ]]; then
    verdict=FAILED
    [[ $f -gt 0 ]] || f=1
  elif [[ $f -gt 0 ]]; then
    verdict=FAILED
  elif [[ $((p + s)) -eq 0 ]]; then
    p=1 # a check that is one thing, such as the format
  elif [[ $p -eq 0 ]]; then
    verdict=skipped
  fi
  passed=$((passed + p))
  failed=$((failed + f))
  skipped=$((skipped + s))
  verdicts+=("$(printf '%-8s %-13s %5d s   %d passed, %d failed, %d skipped' "$verdict" "$step" "$seconds" "$p" "$f" "$s")")
}

# said_skipped STEP: the lines for $SKIPS of tests that printed `skipped: reason`.
said_skipped() {
  local source
  [[ $1 == tests ]] || return 0
  source="$LOGS/tests.log"
  [[ ! -f $LOGS/junit.xml ]] || source="$LOGS/junit.xml"
  { grep -oE '(^|>)skipped: .+' "$source" || true; } | sed -E 's/^>?skipped: //; s/<.*//; s/&quot;/"/g; s/&gt;/>/g; s/&lt;/</g; s/&amp;/\&/g' | sort | uniq -c \
    | while read -r times reason; do
      for ((; times > 0; times--)); do
        case "$reason" in
          *../shared* | *nightly*) printf 'allowed\ttests\t%s\n' "$reason" ;;
          *) printf 'refused\ttests\t%s\n' "$reason" ;;
        esac
      done
    done
}

# report: prints the steps, every skip with its reason and the totals; the status says whether all is well.
report() {
  local allowed step reason refused=0
  printf '\n'
  printf '%s\n' "${verdicts[@]}"
  if [[ -s $SKIPS ]]; then
    printf '\nskipped:\n'
    while IFS=$'\t' read -r allowed step reason; do
      if [[ $allowed == refused && ${CI:-} == true ]]; then
        refused=$((refused + 1))
        echo "  $step: $reason (a failure, since CI=true)"
      else
        echo "  $step: $reason"
      fi
    done < <(sort "$SKIPS" | uniq)
  fi
  failed=$((failed + refused))
  skipped=$((skipped > refused ? skipped - refused : 0))
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [[ $failed -eq 0 ]]
}
