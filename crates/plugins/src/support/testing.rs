use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use a6_core::Budget;
use a6_snapshot::{
    BodyLimits, Client, Exchange, GroupRegistry, HealthRegistry, Record, Request, RequestBody, Site,
    UpstreamSlots,
};

use super::shared::Shared;

/// A request as the gateway would hand it to a plugin.
pub(crate) fn exchange(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Exchange {
    exchange_within(method, target, headers, body, 1 << 30)
}

/// The same with a byte budget.
pub(crate) fn exchange_within(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
    budget: u64,
) -> Exchange {
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let client = Client {
        peer: ([127, 0, 0, 1], 40_000).into(),
        local: ([127, 0, 0, 1], 9080).into(),
        scheme: "http",
    };
    let limits = BodyLimits { budget: Budget::new(budget), timeout: Duration::from_secs(1), max: 1 << 30 };
    let (request, _) = Request::new(parts, Rc::new(client));
    let method = request.method.clone();
    let body = RequestBody::of(body.to_string().into(), limits);
    Exchange::new(request, body, Record::begin(method, 1_700_000_000_000))
}

/// A place where configurations stand.
pub(crate) fn site() -> Site<'static> {
    static UPSTREAMS: LazyLock<UpstreamSlots> = LazyLock::new(UpstreamSlots::default);
    static HEALTH: LazyLock<HealthRegistry> = LazyLock::new(HealthRegistry::default);
    static GROUPS: LazyLock<GroupRegistry> = LazyLock::new(GroupRegistry::default);
    Site { owner: "/routes/1", upstreams: &UPSTREAMS, health: &HEALTH, groups: &GROUPS }
}

/// What plugins share, for one test.
pub(crate) fn shared() -> Shared {
    Shared::default()
}

/// Waits for a phase to end.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
