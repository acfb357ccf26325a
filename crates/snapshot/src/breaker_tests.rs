use super::*;

const LIMITS: BreakerLimits = BreakerLimits {
    failures: 3,
    within: Duration::from_secs(30),
    open: Duration::from_secs(10),
    longest: Duration::from_secs(60),
};

const OVERLOAD: Evidence = Evidence::Bad(Class::Overload, None);

fn quota(seconds: u64) -> Evidence {
    Evidence::Bad(Class::Quota, Some(Duration::from_secs(seconds)))
}

/// A request that begins and ends at a moment. Gives whether it was a probe.
fn ask(breakers: &Breakers, model: &str, evidence: Evidence, now: u64) -> bool {
    let is_probe = breakers.enter(model, now);
    breakers.settle(model, evidence, is_probe, now, &LIMITS);
    is_probe
}

#[test]
fn failures_in_a_row_open_it_and_a_probe_closes_it() {
    let breakers = Breakers::default();
    for now in [0, 1, 2] {
        assert_eq!(breakers.barred("m", now), None, "{now}");
        assert!(!ask(&breakers, "m", OVERLOAD, now), "{now}");
    }
    assert_eq!(breakers.barred("m", 3), Some(10_002));
    assert_eq!(breakers.barred("other", 3), None);
    // Half-open: one at a time.
    assert_eq!(breakers.barred("m", 10_002), None);
    assert!(breakers.enter("m", 10_002));
    assert_eq!(breakers.barred("m", 10_002), Some(10_002));
    breakers.settle("m", Evidence::Unknown, true, 10_003, &LIMITS);
    assert_eq!(breakers.barred("m", 10_003), None);
    assert!(ask(&breakers, "m", OVERLOAD, 10_004));
    assert_eq!(breakers.barred("m", 10_005), Some(20_004));
    assert!(ask(&breakers, "m", Evidence::Good, 20_004));
    assert_eq!((breakers.barred("m", 20_005), breakers.all()), (None, Vec::new()));
}

#[test]
fn a_long_answer_does_not_keep_others_away() {
    let breakers = Breakers::default();
    for _ in 0..3 {
        ask(&breakers, "m", OVERLOAD, 0);
    }
    assert!(breakers.enter("m", 10_000));
    assert_eq!(breakers.barred("m", 10_001), Some(10_000));
    breakers.begun("m");
    assert_eq!(breakers.barred("m", 10_002), None);
    assert!(ask(&breakers, "m", Evidence::Good, 10_003));
    // How the first one ends counts all the same.
    breakers.settle("m", OVERLOAD, true, 60_000, &LIMITS);
    assert_eq!(breakers.barred("m", 60_001), Some(70_000));
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let breakers = Breakers::default();
    for (now, evidence) in [OVERLOAD, OVERLOAD, Evidence::Good, OVERLOAD, OVERLOAD].into_iter().enumerate() {
        ask(&breakers, "m", evidence, now as u64);
    }
    assert_eq!(breakers.barred("m", 5), None);
    // Neither do failures that are too far apart.
    let breakers = Breakers::default();
    for now in [0, 15_000, 31_000, 62_000] {
        ask(&breakers, "m", OVERLOAD, now);
    }
    assert_eq!(breakers.barred("m", 62_001), None);
    // What says nothing of the instance leaves the count as it is.
    let breakers = Breakers::default();
    for evidence in [OVERLOAD, Evidence::Unknown, OVERLOAD, Evidence::Unknown, OVERLOAD] {
        ask(&breakers, "m", evidence, 0);
    }
    assert_eq!(breakers.barred("m", 1), Some(10_000));
}

#[test]
fn the_pause_that_an_instance_asks_for_is_kept_within_bounds() {
    for (asked, expected) in [(5, 5_000), (60, 60_000), (86_400, 60_000)] {
        let breakers = Breakers::default();
        ask(&breakers, "m", quota(asked), 0);
        assert_eq!(breakers.barred("m", 0), Some(expected), "{asked}");
        // Another answer does not shorten it.
        breakers.settle("m", quota(1), false, 1, &LIMITS);
        assert_eq!(breakers.barred("m", 1), Some(expected), "{asked}");
    }
    let breakers = Breakers::default();
    ask(&breakers, "m", quota(0), 7);
    assert_eq!(breakers.barred("m", 7), None);
}

#[test]
fn the_way_is_the_same_for_all_models_and_a_credential_is_not() {
    for (class, of_others) in [(Class::Network, Some(10_000)), (Class::CredentialFault, None)] {
        let breakers = Breakers::default();
        for _ in 0..3 {
            ask(&breakers, "a", Evidence::Bad(class, None), 0);
        }
        assert_eq!(breakers.barred("a", 1), Some(10_000), "{class:?}");
        assert_eq!((breakers.barred("d", 1), breakers.barred("", 1)), (of_others, of_others), "{class:?}");
    }
}

#[test]
fn late_answers_of_earlier_requests_change_nothing() {
    let breakers = Breakers::default();
    for _ in 0..3 {
        ask(&breakers, "m", OVERLOAD, 0);
    }
    breakers.settle("m", Evidence::Good, false, 5, &LIMITS);
    breakers.settle("m", OVERLOAD, false, 6, &LIMITS);
    assert_eq!(breakers.barred("m", 7), Some(10_000));
}

#[test]
fn invented_models_take_bounded_room() {
    let breakers = Breakers::default();
    for number in 0..10 * MAX_MODELS {
        ask(&breakers, &format!("m{number}"), OVERLOAD, 0);
    }
    assert!(breakers.all().len() <= MAX_MODELS + 1, "{}", breakers.all().len());
    // The rest counts together.
    assert_eq!(breakers.barred("another", 1), Some(10_000));
    // Neither do those that have asked for a pause stay for ever.
    let breakers = Breakers::default();
    for number in 0..MAX_MODELS {
        ask(&breakers, &format!("m{number}"), quota(1), 0);
    }
    ask(&breakers, "new", quota(1), 40_000);
    assert_eq!((breakers.barred("other", 40_000), breakers.all().len()), (None, 1));
}
