use std::time::Duration;

use serde_json::json;

use super::*;

fn limits() -> Limits {
    let checks = json!({"active": {
        "healthy": {"successes": 2},
        "unhealthy": {"http_failures": 3, "tcp_failures": 2, "timeouts": 1},
    }});
    Checks::parse(&checks).unwrap().active.limits
}

#[test]
fn absent_members_have_apisix_defaults() {
    let checks = Checks::parse(&json!({"active": {}, "passive": {}})).unwrap();
    let Active { kind, timeout, concurrency, method, path, verify, limits, .. } = &checks.active;
    assert_eq!((*kind, *timeout, *concurrency), (ProbeKind::Http, Duration::from_secs(1), 10));
    assert_eq!((method.as_str(), &**path, *verify), ("GET", "/", true));
    assert_eq!(
        (checks.active.healthy_interval, checks.active.unhealthy_interval),
        (timeout.to_owned(), *timeout)
    );
    let counts =
        |limits: &Limits| (limits.successes, limits.http_failures, limits.tcp_failures, limits.timeouts);
    assert_eq!(counts(limits), (2, 5, 2, 3));
    assert_eq!(counts(&checks.passive.unwrap().limits), (5, 5, 2, 7));
    assert_eq!(Checks::parse(&json!({"active": {}})).unwrap().passive, None);
}

#[test]
fn what_the_schema_cannot_judge_is_refused_by_name() {
    for (active, words) in [
        (json!({"req_headers": ["secret-without-colon"]}), "checks.active.req_headers"),
        (json!({"req_headers": ["Bad Name: x"]}), "checks.active.req_headers"),
        (json!({"http_path": "no-slash"}), "checks.active.http_path"),
        (json!({"http_path": "/a b"}), "checks.active.http_path"),
    ] {
        let why = Checks::parse(&json!({"active": active})).unwrap_err();
        assert!(why.contains(words) && !why.contains("secret"), "{why}");
    }
}

#[test]
fn a_status_tells_only_what_a_list_says() {
    let checks =
        Checks::parse(&json!({"active": {"unhealthy": {"http_statuses": [418]}}, "passive": {}})).unwrap();
    for (status, active, passive) in [
        (200, Some(Finding::Success), Some(Finding::Success)),
        (204, None, Some(Finding::Success)),
        (418, Some(Finding::HttpFailure), None),
        (500, None, Some(Finding::HttpFailure)),
        (401, None, None),
    ] {
        assert_eq!(checks.active.limits.finding(status), active, "{status}");
        assert_eq!(checks.passive.as_ref().unwrap().limits.finding(status), passive, "{status}");
    }
}

#[test]
fn results_in_a_row_change_the_verdict() {
    use Finding::{HttpFailure as H, Success as S, TcpFailure as T, Timeout as O};
    use Verdict::{Healthy, MostlyHealthy, MostlyUnhealthy, Unhealthy};
    let cases: [(&[Finding], Verdict); 10] = [
        (&[], Healthy),
        (&[H, H], MostlyHealthy),
        (&[H, H, S], Healthy),
        (&[H, H, S, H, H], MostlyHealthy),
        (&[H, H, H], Unhealthy),
        (&[T, H, H], MostlyHealthy),
        (&[T, T], Unhealthy),
        (&[O, S], MostlyUnhealthy),
        (&[O, S, T, S], MostlyUnhealthy),
        (&[O, S, S], Healthy),
    ];
    for (findings, verdict) in cases {
        let health = Health::default();
        for finding in findings {
            health.report(*finding, &limits());
        }
        assert_eq!(health.tally().verdict(), verdict, "{findings:?}");
        assert_eq!(health.is_healthy(), matches!(verdict, Healthy | MostlyHealthy), "{findings:?}");
        health.reset();
        assert!(health.is_healthy() && health.tally() == Tally::default(), "{findings:?}");
    }
}

#[test]
fn a_limit_of_zero_never_counts() {
    let checks = json!({"active": {}, "passive": {"unhealthy": {"http_failures": 0, "tcp_failures": 1}}});
    let limits = Checks::parse(&checks).unwrap().passive.unwrap().limits;
    let health = Health::default();
    for _ in 0..300 {
        assert_eq!(health.report(Finding::HttpFailure, &limits), None);
    }
    assert_eq!(health.report(Finding::TcpFailure, &limits), Some(false));
    assert_eq!(health.report(Finding::TcpFailure, &limits), None);
}
