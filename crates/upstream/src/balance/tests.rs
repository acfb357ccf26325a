use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use a6_snapshot::{Checks, Finding, HashOn};

use super::*;

struct Server {
    name: String,
    weight: u32,
    priority: i64,
    state: Arc<NodeState>,
}

impl Peer for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn priority(&self) -> i64 {
        self.priority
    }

    fn state(&self) -> &NodeState {
        &self.state
    }
}

fn named(name: &str, weight: u32, priority: i64) -> Server {
    Server { name: name.to_owned(), weight, priority, state: Arc::default() }
}

/// Servers with these weights and priorities.
fn servers(shares: &[(u32, i64)]) -> Vec<Server> {
    let numbered = shares.iter().enumerate();
    numbered.map(|(place, share)| named(&format!("10.0.0.{place}:80"), share.0, share.1)).collect()
}

fn choose_for(
    balancer: &Balancer,
    peers: &[Server],
    state: &BalancerState,
    key: &str,
    tried: &[usize],
) -> Result<usize, PickError> {
    choose(balancer, peers, state, &mut || Some(key.to_owned()), tried)
}

/// Whom so many requests in a row go to.
fn sequence(balancer: &Balancer, peers: &[Server], count: usize) -> Vec<usize> {
    let state = BalancerState::default();
    (0..count).map(|_| choose_for(balancer, peers, &state, "k", &[]).unwrap()).collect()
}

/// Has health checks find a server dead.
fn give_up(server: &Server) {
    let checks = serde_json::json!({"active": {"unhealthy": {"tcp_failures": 1}}});
    let limits = Checks::parse(&checks).unwrap().active.limits;
    assert_eq!(server.state.health.report(Finding::TcpFailure, &limits), Some(false));
}

fn all_balancers() -> [Balancer; 4] {
    [
        Balancer::RoundRobin,
        Balancer::ConsistentHash(HashOn::Consumer),
        Balancer::LeastConnections,
        Balancer::Ewma,
    ]
}

#[test]
fn turns_are_smooth_and_exact() {
    let cases: [(&[u32], &[usize]); 5] = [
        (&[1, 1, 1], &[0, 1, 2, 0, 1, 2]),
        (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]),
        (&[2, 8], &[1, 1, 0, 1, 1, 1, 1, 0, 1, 1]),
        (&[0, 1, 0, 1], &[1, 3, 1, 3]),
        (&[0, 0], &[0, 1, 0, 1]),
    ];
    for (weights, expected) in cases {
        let shares: Vec<_> = weights.iter().map(|weight| (*weight, 0)).collect();
        let found = sequence(&Balancer::RoundRobin, &servers(&shares), expected.len());
        assert_eq!(found, expected, "{weights:?}");
    }
}

#[test]
fn turns_are_exact_across_threads() {
    let (peers, state) = (servers(&[(2, 0), (8, 0)]), BalancerState::default());
    let firsts: usize = std::thread::scope(|scope| {
        let work = || {
            let picks =
                (0..2500).map(|_| choose_for(&Balancer::RoundRobin, &peers, &state, "", &[]).unwrap());
            picks.filter(|place| *place == 0).count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(firsts, 2000);
}

#[test]
fn who_may_be_chosen() {
    // Weights and priorities, who is unhealthy, who was tried, who is left.
    type Case = (&'static [(u32, i64)], &'static [usize], &'static [usize], &'static [usize]);
    let cases: [Case; 12] = [
        (&[(1, 0), (1, 0)], &[], &[], &[0, 1]),
        (&[(1, 0), (1, 0)], &[], &[0], &[1]),
        (&[(1, 0), (1, 0)], &[], &[0, 1], &[]),
        (&[(1, 0), (1, 0)], &[0], &[], &[1]),
        (&[(1, 0), (1, 0)], &[0, 1], &[], &[0, 1]),
        (&[(1, 0), (1, 0)], &[0], &[1], &[]),
        (&[(0, 0), (1, 0)], &[], &[], &[1]),
        (&[(0, 0), (1, 0)], &[], &[1], &[0]),
        (&[(0, 0), (1, 0)], &[1], &[], &[0]),
        (&[(1, 0), (1, 5), (1, 5), (1, -1)], &[], &[], &[1, 2]),
        (&[(1, 0), (1, 5), (1, 5), (1, -1)], &[], &[2, 1], &[0]),
        (&[(1, 0), (1, 5), (1, 5), (1, -1)], &[1, 2], &[0], &[3]),
    ];
    for (shares, unhealthy, tried, expected) in cases {
        let peers = servers(shares);
        for place in unhealthy {
            give_up(&peers[*place]);
        }
        assert_eq!(contenders(&peers, tried), expected, "{shares:?} {unhealthy:?} {tried:?}");
    }
}

#[test]
fn every_balancer_tries_each_node_once_by_priority() {
    for balancer in all_balancers() {
        let (peers, state) = (servers(&[(1, -1), (3, 7), (0, 7), (2, 7), (1, 0)]), BalancerState::default());
        let mut tried = Vec::new();
        while let Ok(place) = choose_for(&balancer, &peers, &state, "k", &tried) {
            tried.push(place);
        }
        let first: BTreeSet<_> = tried[..2].iter().copied().collect();
        assert_eq!(first, BTreeSet::from([1, 3]), "{balancer:?} {tried:?}");
        assert_eq!(tried[2..], [2, 4, 0], "{balancer:?}");
        let last = choose_for(&balancer, &peers, &state, "k", &tried);
        assert_eq!(last, Err(PickError::AllTried), "{balancer:?}");
    }
}

#[test]
fn one_node_needs_no_balancer() {
    let mut balancers = Vec::from(all_balancers());
    balancers.push(Balancer::Unknown("fastest".into()));
    for balancer in balancers {
        let (one, state) = (servers(&[(0, 0)]), BalancerState::default());
        give_up(&one[0]);
        let mut never = || -> Option<String> { panic!("asked for a key") };
        assert_eq!(choose(&balancer, &one, &state, &mut never, &[]), Ok(0), "{balancer:?}");
        assert_eq!(choose(&balancer, &one, &state, &mut never, &[0]), Err(PickError::AllTried));
        assert_eq!(choose(&balancer, &one[..0], &state, &mut never, &[]), Err(PickError::NoNodes));
        assert!(state.turns.lock().unwrap().is_empty() && state.ring.get().is_none());
    }
}

#[test]
fn an_unknown_type_fails_with_several_nodes() {
    let (peers, state) = (servers(&[(1, 0), (1, 0)]), BalancerState::default());
    for tried in [vec![], vec![0]] {
        let error = choose_for(&Balancer::Unknown("fastest".into()), &peers, &state, "", &tried).unwrap_err();
        assert_eq!(error, PickError::UnknownType("fastest".into()));
        let text = r#"the upstream's type "fastest" is unknown; use roundrobin, chash, ewma or least_conn"#;
        assert_eq!(error.to_string(), text);
    }
}

/// Whom each of 10,000 keys goes to.
fn keys(peers: &[Server]) -> Vec<usize> {
    let (balancer, state) = (Balancer::ConsistentHash(HashOn::Consumer), BalancerState::default());
    let place = |key: u32| choose_for(&balancer, peers, &state, &format!("user-{key}"), &[]).unwrap();
    (0..10_000).map(place).collect()
}

#[test]
fn few_keys_move_when_a_node_leaves() {
    for count in [2, 3, 5, 10] {
        let before = keys(&servers(&vec![(1, 0); count]));
        for leaving in 0..count {
            let name = |place: usize| format!("10.0.0.{place}:80");
            let staying: Vec<usize> = (0..count).filter(|place| *place != leaving).collect();
            let rest: Vec<_> = staying.iter().map(|place| named(&name(*place), 1, 0)).collect();
            let after = keys(&rest);
            let moved = before.iter().zip(&after).filter(|(before, after)| **before != staying[**after]);
            let moved: Vec<usize> = moved.map(|(before, _)| *before).collect();
            assert!(moved.iter().all(|place| *place == leaving), "{leaving} of {count}: others moved");
            assert!(moved.len() * count * 4 <= 10_000 * 5, "{leaving} of {count}: {} moved", moved.len());
            assert!(!moved.is_empty(), "{leaving} of {count}");
        }
    }
}

#[test]
fn keys_of_an_unhealthy_or_tried_node_move_and_no_others() {
    let peers = servers(&[(1, 0); 4]);
    let before = keys(&peers);
    give_up(&peers[2]);
    let after = keys(&peers);
    peers[2].state.health.reset();
    let (balancer, state) = (Balancer::ConsistentHash(HashOn::Consumer), BalancerState::default());
    for (key, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(*after != 2 && (*before == 2 || before == after), "user-{key}: {before} -> {after}");
        let tried = choose_for(&balancer, &peers, &state, &format!("user-{key}"), &[2]).unwrap();
        assert_eq!(tried, *after, "user-{key}");
    }
}

#[test]
fn keys_are_shared_by_weight() {
    let cases: [&[u32]; 4] = [&[10, 20, 50], &[1, 2, 5], &[65_537, 131_101, 327_650], &[1, 4_000_000_000]];
    for weights in cases {
        let shares: Vec<_> = weights.iter().map(|weight| (*weight, 0)).collect();
        let found = keys(&servers(&shares));
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (place, weight) in weights.iter().enumerate() {
            let share = found.iter().filter(|found| **found == place).count() as f64 / 10_000.0;
            let expected = f64::from(*weight) / total;
            assert!((share - expected).abs() < 0.05, "{weights:?}: {place} has {share}");
        }
    }
}

#[test]
fn the_least_loaded_for_its_weight_is_chosen() {
    // Weights, requests in flight, who is next.
    let cases: [(&[u32], &[usize], &[usize]); 6] = [
        (&[1, 1], &[1, 0], &[1, 1]),
        (&[1, 3], &[0, 1], &[1, 1]),
        (&[1, 3], &[0, 3], &[0, 0]),
        (&[1, 3], &[0, 2], &[1, 0, 1, 1]),
        (&[1, 1, 1], &[1, 0, 0], &[1, 2, 1, 2]),
        (&[4_294_967_295, 4_294_967_295], &[1, 0], &[1]),
    ];
    for (weights, in_flight, expected) in cases {
        let shares: Vec<_> = weights.iter().map(|weight| (*weight, 0)).collect();
        let (peers, state) = (servers(&shares), BalancerState::default());
        let busy = in_flight.iter().zip(&peers);
        let guards: Vec<_> =
            busy.flat_map(|(count, peer)| (0..*count).map(move |_| peer.state.enter())).collect();
        let next = |_| choose_for(&Balancer::LeastConnections, &peers, &state, "", &[]).unwrap();
        let found: Vec<_> = expected.iter().map(next).collect();
        assert_eq!(found, expected, "{weights:?} {in_flight:?}");
        assert_eq!(guards.len(), in_flight.iter().sum::<usize>());
    }
}

#[test]
fn the_slowest_is_never_the_faster_of_two() {
    let peers = servers(&[(1, 0), (100, 0), (1, 0)]);
    for (place, seconds) in [(0, 10), (1, 100), (2, 20)] {
        peers[place].state.observe(Duration::from_secs(seconds));
    }
    let found: BTreeSet<_> = sequence(&Balancer::Ewma, &peers, 200).into_iter().collect();
    assert_eq!(found, BTreeSet::from([0, 2]));
    let two = &peers[..2];
    assert!(sequence(&Balancer::Ewma, two, 50).iter().all(|place| *place == 0));
}
